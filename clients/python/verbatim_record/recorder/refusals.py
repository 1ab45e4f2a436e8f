"""Classification of the service's answers: which ones refuse a message for good.

Only a problem document of the service about that message, with a status that the same message would get again, refuses
it for good. After any other answer the message is sent again: after a 5xx or a time-out, because it is unknown whether
it was stored; after 401 and 403, because the token may be renewed; and after an answer of a proxy, whose 404, 413 or
502 does not concern the message.
"""

import re
from typing import Any, Final

import httpx
import orjson

from verbatim_record.vocabulary import PROBLEM_MEDIA_TYPE, ROLE_NOT_ALLOWED

LONGEST_RETRY_AFTER: Final = 30.0  # seconds, whatever Retry-After asks for
# The statuses with which the service refuses a message or a conversation for good.
FINAL: Final = {
    httpx.codes.NOT_FOUND,
    httpx.codes.CONFLICT,
    httpx.codes.GONE,
    httpx.codes.REQUEST_ENTITY_TOO_LARGE,
    httpx.codes.UNPROCESSABLE_ENTITY,
}
# The statuses that a whole batch may get because of one message in it.
BATCH_REFUSALS: Final = {httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY}

_TYPE: Final = re.compile(r"/problems/[a-z-]+")
_ROLE: Final = f"/problems/{ROLE_NOT_ALLOWED}"  # the one 403 that is about a message and not about the token
_PASSING: Final = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.TOO_MANY_REQUESTS}


def problem_of(response: httpx.Response) -> dict[str, Any] | None:
    """Return the problem document of the service in ``response``, or None if the answer is not the service's."""
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() != PROBLEM_MEDIA_TYPE:
        return None
    document: dict[str, Any] | None = None
    match _json(response.content):
        case {"type": str(kind), "status": response.status_code} as problem if _TYPE.fullmatch(kind):
            document = problem
    return document


def refusal_of(result: Any) -> dict[str, Any] | None:
    """Return the problem if one ``result`` of a batch refuses its message for good, else None."""
    refusal: dict[str, Any] | None = None
    match result:
        case {"status": int(status), "problem": {"type": str(kind)} as problem} if _TYPE.fullmatch(kind):
            agrees = problem.get("status", status) == status
            refusal = problem if agrees and (status in FINAL or kind == _ROLE) else None
    return refusal


def is_unanswered(result: Any) -> bool:
    """Return whether one ``result`` of a batch asks to send its message again."""
    match result:
        case {"status": int(status)}:
            return status in _PASSING or status >= httpx.codes.INTERNAL_SERVER_ERROR
    return False


def own_failure_of(result: Any) -> str | None:
    """Return the problem's type if the service failed for this one message (500), else None.

    The cause may be a constraint of the host's database. The message is sent again, but may never be accepted.
    """
    match result:
        case {"status": 500, "problem": {"type": str(kind)}} if _TYPE.fullmatch(kind):
            return kind
    return None


def results_of(content: bytes, count: int) -> list[Any] | None:
    """Return the results of a batch of ``count`` messages, or None if ``content`` is not the service's answer."""
    match _json(content):
        case {"results": list(results)} if len(results) == count:
            return results
    return None


def retry_after_of(response: httpx.Response) -> float | None:
    """Return the seconds of the answer's Retry-After, at most `LONGEST_RETRY_AFTER`; None without one."""
    seconds = response.headers.get("retry-after", "")
    return min(float(seconds), LONGEST_RETRY_AFTER) if seconds.isdecimal() else None


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
