"""Telling the service's refusal of a message from everything else that a request may be answered with.

A message is refused for good only by a problem document of the service about that message, with a status that the same
message would get again. Everything else is sent again: a 5xx or a time-out, which leave it unknown whether the message
was stored; 401 and 403, because a token may be renewed; and what a proxy answers, whose 404, 413 or 502 says nothing of
a message.
"""

import re
from typing import Any, Final

import httpx
import orjson

from backend.vocabulary import PROBLEM_MEDIA_TYPE, ROLE_NOT_ALLOWED

LONGEST_RETRY_AFTER: Final = 30.0  # seconds, whatever Retry-After asks for
# With these statuses the service refuses a message or a conversation for good.
FINAL: Final = {
    httpx.codes.NOT_FOUND,
    httpx.codes.CONFLICT,
    httpx.codes.GONE,
    httpx.codes.REQUEST_ENTITY_TOO_LARGE,
    httpx.codes.UNPROCESSABLE_ENTITY,
}
# A batch may be answered so because of one message in it.
SPOILT: Final = {httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY}

_TYPE: Final = re.compile(r"/problems/[a-z-]+")
_ROLE: Final = f"/problems/{ROLE_NOT_ALLOWED}"  # the one 403 that is about a message and not about the token
_PASSING: Final = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.TOO_MANY_REQUESTS}


def problem_of(response: httpx.Response) -> dict[str, Any] | None:
    """Return the problem of the service that ``response`` describes, None if it is not the service's answer."""
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() != PROBLEM_MEDIA_TYPE:
        return None
    document: dict[str, Any] | None = None
    match _json(response.content):
        case {"type": str(kind), "status": response.status_code} as problem if _TYPE.fullmatch(kind):
            document = problem
    return document


def refusal_of(result: Any) -> dict[str, Any] | None:
    """Return the problem with which one result of a batch refuses its message for good, None if it does not."""
    refusal: dict[str, Any] | None = None
    match result:
        case {"status": int(status), "problem": {"type": str(kind)} as problem} if _TYPE.fullmatch(kind):
            agrees = problem.get("status", status) == status
            refusal = problem if agrees and (status in FINAL or kind == _ROLE) else None
    return refusal


def is_unanswered(result: Any) -> bool:
    """Tell whether one result of a batch says that its message is to be sent again."""
    match result:
        case {"status": int(status)}:
            return status in _PASSING or status >= httpx.codes.INTERNAL_SERVER_ERROR
    return False


def own_failure_of(result: Any) -> str | None:
    """Return the type of the problem if the service fails for this one message, as for a rule of the host's database.

    None for every other result. The message is to be sent again, but may never be taken.
    """
    match result:
        case {"status": 500, "problem": {"type": str(kind)}} if _TYPE.fullmatch(kind):
            return kind
    return None


def results_of(content: bytes, count: int) -> list[Any] | None:
    """Return the results of a batch of ``count`` messages, None if ``content`` is not the service's answer to it."""
    match _json(content):
        case {"results": list(results)} if len(results) == count:
            return results
    return None


def retry_after_of(response: httpx.Response) -> float | None:
    """Return how many seconds the answer asks to wait, at most `LONGEST_RETRY_AFTER`; None if it asks for none."""
    seconds = response.headers.get("retry-after", "")
    return min(float(seconds), LONGEST_RETRY_AFTER) if seconds.isdecimal() else None


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
