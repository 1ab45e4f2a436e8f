"""From a refusal to its HTTP answer (RFC 9457): one table, and nothing decided anywhere else."""

import html
import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from backend import errors
from backend.api.parse_thread import MOST_MARKS
from backend.errors import MOST_FAULTS, Fault, Invalid, LinkNotFound, RecordError, Unavailable
from backend.observability import metrics
from backend.observability.logs import request_id
from backend.schemas.parsing import fault_of
from backend.vocabulary import (
    BODY_TOO_LARGE,
    CONVERSATION_ERASED,
    CONVERSATION_ID_REUSED,
    PROBLEM_MEDIA_TYPE,
    ROLE_NOT_ALLOWED,
)

_CHALLENGE: Final = 'Bearer realm="verbatim"'


class ProblemType(NamedTuple):
    """How one kind of refusal looks over HTTP, and what its caller should do."""

    status: HTTPStatus
    slug: str
    title: str
    remedy: str

    @property
    def type(self) -> str:
        """Where this problem is described, at this service."""
        return f"/problems/{self.slug}"


_RETRY: Final = "Send the same request again, with the same ids, after the seconds that Retry-After names."
_DO_NOT_RETRY: Final = "Sending the same request again will not help."

INVALID: Final = ProblemType(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid",
    "The request is not of the documented form",
    f"`errors` holds a JSON pointer and a sentence for each fault, at most {MOST_FAULTS}; `more_errors` counts the "
    f"others. {_DO_NOT_RETRY}",
)
INTERNAL: Final = ProblemType(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal-error",
    "A fault of the service",
    "Whether the request was carried out is unknown: send it again with the same ids, and report the request_id.",
)
UNREADY: Final = ProblemType(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "not-ready",
    "Not ready to take messages",
    "`checks` says what is wrong. Until it is put right, send traffic elsewhere.",
)
PROBLEMS: Final[dict[type[RecordError], ProblemType]] = {
    errors.TokenMissing: ProblemType(
        HTTPStatus.UNAUTHORIZED,
        "token-missing",
        "A token is needed",
        "Send Authorization: Bearer … with a token of a configured issuer, or a service token. The message is not "
        "recorded: keep it, and send it again with a token.",
    ),
    errors.TokenInvalid: ProblemType(
        HTTPStatus.UNAUTHORIZED,
        "token-invalid",
        "That token is not accepted",
        "`detail` says why. Get a new token; the message is not recorded: keep it, and send it again with that.",
    ),
    errors.ScopeMissing: ProblemType(
        HTTPStatus.FORBIDDEN,
        "scope-missing",
        "That token is not for this",
        f"`detail` names the scope that is needed. Ask whoever issues the token for it. {_DO_NOT_RETRY}",
    ),
    errors.RoleNotAllowed: ProblemType(
        HTTPStatus.FORBIDDEN,
        ROLE_NOT_ALLOWED,
        "Not in this role",
        f"A person's token writes the roles user, assistant and function; system needs a service's. {_DO_NOT_RETRY}",
    ),
    errors.NotFromHere: ProblemType(
        HTTPStatus.MISDIRECTED_REQUEST,
        "not-from-here",
        "Only this machine is served",
        "Nothing is configured to tell callers apart. Come from this machine, to localhost and through no proxy, or "
        "let the operator configure VERBATIM_AUTH_ISSUERS. A proxy that names its clients in X-Forwarded-For can be "
        f"named in VERBATIM_TRUSTED_PROXIES. {_DO_NOT_RETRY}",
    ),
    errors.ForeignPage: ProblemType(
        HTTPStatus.FORBIDDEN,
        "foreign-page",
        "Not from a page of another origin",
        "Nothing is configured to tell callers apart, so a page of another origin may change nothing here. The "
        f"operator can allow its origin with VERBATIM_CORS_ORIGINS. {_DO_NOT_RETRY}",
    ),
    Invalid: INVALID,
    errors.ConversationNotFound: ProblemType(
        HTTPStatus.NOT_FOUND,
        "conversation-not-found",
        "No such conversation",
        f"Open it first with POST /api/v1/conversations; a message is never stored without one. {_DO_NOT_RETRY}",
    ),
    errors.ConversationErased: ProblemType(
        HTTPStatus.GONE,
        CONVERSATION_ERASED,
        "That conversation was erased",
        f"It was erased with everything said in it, and stays so. Drop what is queued for it. {_DO_NOT_RETRY}",
    ),
    errors.ConversationIdReused: ProblemType(
        HTTPStatus.CONFLICT,
        CONVERSATION_ID_REUSED,
        "That conversation id is taken",
        f"A conversation exists under this id with other content. Choose a new id. {_DO_NOT_RETRY}",
    ),
    errors.ConversationEnded: ProblemType(
        HTTPStatus.CONFLICT,
        "conversation-ended",
        "The conversation has ended at another time",
        f"The first `ended_at` stands; GET the conversation to see it. {_DO_NOT_RETRY}",
    ),
    errors.ConversationHasSessions: ProblemType(
        HTTPStatus.CONFLICT,
        "conversation-has-sessions",
        "The conversation ends with its voice sessions",
        f"End each of them with POST /api/v1/voice/sessions/…/end. {_DO_NOT_RETRY}",
    ),
    errors.HostOwnsConversations: ProblemType(
        HTTPStatus.CONFLICT,
        "host-owns-conversations",
        "Only the host application can open conversations",
        f"Its table has columns or rules unknown here. Let it make the row, then use its id. {_DO_NOT_RETRY}",
    ),
    errors.HostKeepsConversation: ProblemType(
        HTTPStatus.CONFLICT,
        "host-keeps-conversation",
        "The host application still refers to that conversation",
        f"A table of its has a foreign key to it. Remove what refers to it, then erase it. {_DO_NOT_RETRY}",
    ),
    errors.MessageIdReused: ProblemType(
        HTTPStatus.CONFLICT,
        "message-id-reused",
        "That message id is taken",
        "Another message is on record under this id; `detail` names the fields that differ. If this is a retry, send "
        f"the original content; if it is a new message, give it a new id. {_DO_NOT_RETRY}",
    ),
    errors.LinkNotFound: ProblemType(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "link-not-found",
        "No such goal or task",
        f"`errors` names the field whose goal or task does not exist. Create it first. {_DO_NOT_RETRY}",
    ),
    errors.IntentNotFound: ProblemType(
        HTTPStatus.NOT_FOUND,
        "intent-not-found",
        "No intent yet",
        f"The conversation is there, but nobody has PUT an intent. {_DO_NOT_RETRY}",
    ),
    errors.IntentConflict: ProblemType(
        HTTPStatus.CONFLICT,
        "intent-conflict",
        "Another intent stands",
        "GET it, and if yours is to replace it, send If-Match with the version that `detail` and the ETag header name. "
        f"{_DO_NOT_RETRY}",
    ),
    errors.PreconditionFailed: ProblemType(
        HTTPStatus.PRECONDITION_FAILED,
        "precondition-failed",
        "Another version stands",
        "`If-Match` names another version than the one that stands, so nothing was changed. GET it again, look at what "
        f"has changed, and decide anew; the ETag header names the version that stands. {_DO_NOT_RETRY}",
    ),
    errors.DeliveryNotFound: ProblemType(
        HTTPStatus.NOT_FOUND,
        "delivery-not-found",
        "No such delivery",
        f"GET /api/v1/deliveries lists them; those of an erased conversation are gone with it. {_DO_NOT_RETRY}",
    ),
    errors.VoiceSessionNotFound: ProblemType(
        HTTPStatus.NOT_FOUND,
        "voice-session-not-found",
        "No such voice session",
        "Begin it first with POST /api/v1/voice/sessions. If its conversation was erased, drop what is queued for it. "
        f"{_DO_NOT_RETRY}",
    ),
    errors.VoiceSessionIdReused: ProblemType(
        HTTPStatus.CONFLICT,
        "voice-session-id-reused",
        "That voice session id is taken",
        f"A voice session exists under this id, in another conversation. Choose a new id. {_DO_NOT_RETRY}",
    ),
    errors.VoiceSessionEnded: ProblemType(
        HTTPStatus.CONFLICT,
        "voice-session-ended",
        "The voice session has ended otherwise",
        f"`detail` names what differs. What was said first stands; GET its receipt to see it. {_DO_NOT_RETRY}",
    ),
    errors.EventIdReused: ProblemType(
        HTTPStatus.CONFLICT,
        "event-id-reused",
        "That event id is taken",
        "Another event of the session is on record under this id, or under this number. If this is a retry, send the "
        f"original; if not, count on from `next_client_sequence`. {_DO_NOT_RETRY}",
    ),
    errors.ProviderNotConfigured: ProblemType(
        HTTPStatus.CONFLICT,
        "provider-not-configured",
        "No tokens for Deepgram here",
        f"The operator can set VERBATIM_DEEPGRAM_API_KEY. The record works without. {_DO_NOT_RETRY}",
    ),
    errors.ProviderRefused: ProblemType(
        HTTPStatus.BAD_GATEWAY,
        "provider-refused",
        "Deepgram refused a token",
        "The key that the service has is not good for it; its operator must act. The voice session itself works: send "
        f"its events. {_DO_NOT_RETRY}",
    ),
    errors.ProviderUnavailable: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "provider-unavailable",
        "Deepgram is not available",
        "The voice session itself works: send its events, and ask for a token again, with POST …/token, after the "
        "seconds that Retry-After names.",
    ),
    errors.Busy: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "busy", "The service is busy", f"Nothing was stored. {_RETRY}"
    ),
    errors.TooManyRequests: ProblemType(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-requests",
        "Too many requests",
        f"The RateLimit headers say what is left for whom. Nothing was looked at. {_RETRY}",
    ),
    errors.IssuerUnavailable: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "issuer-unavailable",
        "The token cannot be checked now",
        f"Its issuer's keys are not to be had. {_RETRY}",
    ),
    errors.DatabaseUnavailable: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "database-unavailable",
        "The database is not available",
        f"Whether the request was carried out is unknown. {_RETRY}",
    ),
    errors.TooSlow: ProblemType(
        HTTPStatus.GATEWAY_TIMEOUT,
        "too-slow",
        "The database took too long",
        "What was to be read took longer than VERBATIM_STATEMENT_TIMEOUT. The same again takes as long: ask for less "
        "at a time (`limit`), or later. The operator finds the SQLSTATE in the service's log.",
    ),
    errors.Unreadable: INTERNAL,
    errors.NotRecorded: INTERNAL,
}
HTTP_PROBLEMS: Final = {
    problem.status.value: problem
    for problem in (
        ProblemType(HTTPStatus.NOT_FOUND, "not-found", "Nothing is here", "The paths are listed at /docs."),
        ProblemType(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Not with this method",
            "The Allow header names the methods that work here.",
        ),
        ProblemType(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            BODY_TOO_LARGE,
            "The body is too large",
            f"A body holds at most 2 MiB, one of messages or events 4 MiB, and either {MOST_MARKS:,} JSON values; send "
            f"less at a time. {_DO_NOT_RETRY}",
        ),
        ProblemType(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "Only JSON is taken here",
            "Send Content-Type: application/json and no Content-Encoding: compressed bodies are not taken.",
        ),
        ProblemType(HTTPStatus.BAD_REQUEST, "bad-request", "Not readable as HTTP", "Check the client library."),
        ProblemType(
            HTTPStatus.REQUEST_TIMEOUT,
            "request-timeout",
            "The request came too slowly",
            "The head of a request must come within 10 s, its body within 300 s and with 1 KiB a second. Whether the "
            "request was carried out is unknown: connect again and send it again with the same ids.",
        ),
        ProblemType(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            "The head of the request is too large",
            f"The request line and all headers hold at most 32 KiB and 100 headers. {_DO_NOT_RETRY}",
        ),
    )
}
ALL: Final = {problem.slug: problem for problem in (*PROBLEMS.values(), *HTTP_PROBLEMS.values(), UNREADY)}


# prometheus_client looks a child up under a lock.
_refusals: Final = lru_cache(256)(metrics.REFUSALS.labels)


def count(problem: ProblemType) -> None:
    """Count ``problem`` as answered."""
    _refusals(problem.slug).inc()


def problem_body(problem: ProblemType, detail: str, faults: tuple[Fault, ...] = (), **more: object) -> dict[str, Any]:
    """Return the members of a problem document about the request at hand, and count it as answered."""
    count(problem)
    return document_of(problem, detail, request_id.get(), faults) | more


def document_of(problem: ProblemType, detail: str, identity: str, faults: tuple[Fault, ...] = ()) -> dict[str, Any]:
    """Return the members of a problem document about the request with this ``identity`` (32 hexadecimal digits)."""
    body: dict[str, Any] = {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status.value,
        "detail": detail,
        "instance": f"urn:uuid:{UUID(hex=identity)}",
        "request_id": identity,
    }
    if faults:
        body["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]
    return body


def refusal_body(error: RecordError) -> dict[str, Any]:
    """Return the problem document for ``error``, as it stands in a response or in one place of a batch."""
    more = {"more_errors": error.more} if isinstance(error, Invalid) and error.more else {}
    return problem_body(PROBLEMS[type(error)], str(error), faults_of(error), **more)


def refusal(error: RecordError) -> Response:
    """Return the HTTP answer for ``error``."""
    return answer(refusal_body(error), refusal_headers(error))


def refusal_headers(error: RecordError) -> dict[str, str]:
    """Return what a client library reads without looking into the body (RFC 9110, section 10.2.3; RFC 6750, 3)."""
    match error:
        case Unavailable(retry_after=int(seconds)):
            return {"retry-after": str(seconds)}
        case errors.TokenMissing():
            return {"www-authenticate": _CHALLENGE}
        case errors.TokenInvalid():
            return {"www-authenticate": f'{_CHALLENGE}, error="invalid_token", error_description="{error.why}"'}
        case errors.IntentConflict(tag=str(tag)) | errors.PreconditionFailed(tag=str(tag)):
            return {"etag": tag}
        case errors.ScopeMissing():
            return {"www-authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'}
    return {}


def internal_error() -> Response:
    """Return the answer for what should not have happened."""
    return answer(problem_body(INTERNAL, "Something went wrong that is no fault of the request."))


def answer(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document as an HTTP answer."""
    return Response(orjson.dumps(body), body["status"], headers, PROBLEM_MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error that leaves ``app`` a problem document."""

    @app.exception_handler(RecordError)
    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RecordError)  # noqa: S101 -- the type of its registration
        return refusal(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 -- the type of its registration
        return refusal(Invalid([fault_of(details) for details in error.errors()]))

    @app.exception_handler(HTTPException)
    async def unhandled(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 -- the type of its registration
        problem = HTTP_PROBLEMS.get(error.status_code, INTERNAL)
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if problem.status is HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods(app, request.url.path)):
            headers["allow"] = methods
        return answer(problem_body(problem, problem.remedy), headers)


def _methods(app: FastAPI, path: str) -> str:
    """Return what works at ``path``; the router itself names only the first of its routes there."""
    for template, operations in app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return ", ".join(sorted(method.upper() for method in operations))
    return ""


def faults_of(error: RecordError) -> tuple[Fault, ...]:
    """Return what ``error`` says of single fields."""
    if isinstance(error, Invalid):
        return error.faults
    if isinstance(error, LinkNotFound):
        return (Fault(f"/{error.field}", str(error)),)
    return ()


def page(problem: ProblemType) -> str:
    """Return the human description of ``problem``, which its ``type`` leads to."""
    title = html.escape(problem.title)
    remedy = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(problem.remedy))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body { font-family: system-ui; max-width: 40em; margin: 3em auto; padding: 0 1em }</style>"
        f"<body><h1>{title}</h1><p>{problem.status.value} · <code>{problem.type}</code></p><p>{remedy}</p>"
        "</body></html>"
    )
