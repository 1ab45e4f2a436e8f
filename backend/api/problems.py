"""Problem documents (RFC 9457): the one table from each error of the tree (`errors`) to its HTTP status and slug.

A client reads the slug, which is stable, in `type`; `/problems/{slug}` describes each for people.
"""

import html
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from backend import errors
from backend.api.parse_thread import MAX_MARKS
from backend.errors import MAX_FAULTS, Fault, Invalid, LinkNotFound, RecordError, Unavailable
from backend.observability import metrics
from backend.observability.logs import request_id
from backend.schemas.parsing import fault_of
from backend.vocabulary import BODY_TOO_LARGE, CONVERSATION_ID_REUSED
from verbatim_record.vocabulary import CONVERSATION_ERASED, PROBLEM_MEDIA_TYPE, ROLE_NOT_ALLOWED

_CHALLENGE: Final = 'Bearer realm="verbatim"'


class ProblemType(NamedTuple):
    """The HTTP form of one kind of error: its status, its slug, a title, and what the client should do."""

    status: HTTPStatus
    slug: str
    title: str
    remedy: str

    @property
    def type(self) -> str:
        """The path of the page that describes this problem, the member `type` of a problem document."""
        return f"/problems/{self.slug}"


_RETRY: Final = "Send the same request again, with the same ids, after the number of seconds in Retry-After."
_DO_NOT_RETRY: Final = "Sending the same request again will not help."

INVALID: Final = ProblemType(
    HTTPStatus.UNPROCESSABLE_ENTITY,
    "invalid",
    "The request does not have the documented form",
    f"`errors` holds a JSON pointer and a sentence for each fault, at most {MAX_FAULTS}; `more_errors` counts the "
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
    "Not ready to record messages",
    "`checks` names the faults. Send traffic to other workers until they are repaired.",
)
PROBLEMS: Final[dict[type[RecordError], ProblemType]] = {
    errors.TokenMissing: ProblemType(
        HTTPStatus.UNAUTHORIZED,
        "token-missing",
        "A token is needed",
        "Send Authorization: Bearer … with a token of a configured issuer, or a service token. Nothing was recorded: "
        "keep the message, and send it again with a token.",
    ),
    errors.TokenInvalid: ProblemType(
        HTTPStatus.UNAUTHORIZED,
        "token-invalid",
        "The token is not accepted",
        "`detail` says why. Nothing was recorded: keep the message, get a new token, and send it again with that.",
    ),
    errors.ScopeMissing: ProblemType(
        HTTPStatus.FORBIDDEN,
        "scope-missing",
        "The token lacks a scope",
        f"`detail` names the scope that the operation needs. Ask the issuer of the token for it. {_DO_NOT_RETRY}",
    ),
    errors.RoleNotAllowed: ProblemType(
        HTTPStatus.FORBIDDEN,
        ROLE_NOT_ALLOWED,
        "The token does not allow this role",
        "A person's token allows the roles user, assistant and function; the role system needs a service's token. "
        f"{_DO_NOT_RETRY}",
    ),
    errors.NotFromHere: ProblemType(
        HTTPStatus.MISDIRECTED_REQUEST,
        "not-from-here",
        "Only this machine is served",
        "No authentication is configured. Connect from the service's machine, to localhost and through no proxy, or "
        "let the operator configure VERBATIM_AUTH_ISSUERS. The operator can list a proxy that names its clients in "
        f"X-Forwarded-For in VERBATIM_TRUSTED_PROXIES. {_DO_NOT_RETRY}",
    ),
    errors.ForeignPage: ProblemType(
        HTTPStatus.FORBIDDEN,
        "foreign-page",
        "A page of another origin may not send this",
        "No authentication is configured, so pages of other origins may change nothing. The operator can allow the "
        f"page's origin with VERBATIM_CORS_ORIGINS. {_DO_NOT_RETRY}",
    ),
    Invalid: INVALID,
    errors.ConversationNotFound: ProblemType(
        HTTPStatus.NOT_FOUND,
        "conversation-not-found",
        "No such conversation",
        "Open it first with POST /api/v1/conversations; a message cannot be recorded without a conversation. "
        f"{_DO_NOT_RETRY}",
    ),
    errors.ConversationErased: ProblemType(
        HTTPStatus.GONE,
        CONVERSATION_ERASED,
        "The conversation was erased",
        f"It was erased with all its messages, for good. Drop the messages queued for it. {_DO_NOT_RETRY}",
    ),
    errors.ConversationIdReused: ProblemType(
        HTTPStatus.CONFLICT,
        CONVERSATION_ID_REUSED,
        "The conversation id is taken",
        f"A conversation with this id and other content exists. Choose a new id. {_DO_NOT_RETRY}",
    ),
    errors.ConversationEnded: ProblemType(
        HTTPStatus.CONFLICT,
        "conversation-ended",
        "The conversation has ended at another time",
        f"The first `ended_at` was not changed; GET the conversation to see it. {_DO_NOT_RETRY}",
    ),
    errors.ConversationHasSessions: ProblemType(
        HTTPStatus.CONFLICT,
        "conversation-has-sessions",
        "The conversation ends with its voice sessions",
        f"End each voice session with POST /api/v1/voice/sessions/…/end. {_DO_NOT_RETRY}",
    ),
    errors.HostOwnsConversations: ProblemType(
        HTTPStatus.CONFLICT,
        "host-owns-conversations",
        "Only the host application can open conversations",
        "Its table has columns or constraints that this service does not know. Let the host insert the row, then use "
        f"its id. {_DO_NOT_RETRY}",
    ),
    errors.OnHold: ProblemType(
        HTTPStatus.CONFLICT,
        "on-hold",
        "The conversation is on hold",
        "It must be kept as it is. An operator with the scope governance:manage can release it, with DELETE "
        f"/api/v1/conversations/…/hold. {_DO_NOT_RETRY}",
    ),
    errors.HoldNotFound: ProblemType(
        HTTPStatus.NOT_FOUND,
        "hold-not-found",
        "The conversation is not on hold",
        f"There is nothing to release; GET /api/v1/holds lists all holds. {_DO_NOT_RETRY}",
    ),
    errors.HostKeepsConversation: ProblemType(
        HTTPStatus.CONFLICT,
        "host-keeps-conversation",
        "The host application still refers to the conversation",
        "A table of the host has a foreign key to it. Delete the rows that refer to it, then erase the conversation. "
        f"{_DO_NOT_RETRY}",
    ),
    errors.MessageNotFound: ProblemType(
        HTTPStatus.NOT_FOUND,
        "message-not-found",
        "No such message",
        f"The conversation exists, but no message with this id is in it. {_DO_NOT_RETRY}",
    ),
    errors.MessageIdReused: ProblemType(
        HTTPStatus.CONFLICT,
        "message-id-reused",
        "The message id is taken",
        "Another message with this id is on record; `detail` names the fields that differ. For a retry, send the "
        f"original content; for a new message, choose a new id. {_DO_NOT_RETRY}",
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
        f"The conversation exists, but no client has PUT an intent. {_DO_NOT_RETRY}",
    ),
    errors.IntentConflict: ProblemType(
        HTTPStatus.CONFLICT,
        "intent-conflict",
        "The conversation has another intent",
        "GET it; to replace it, send If-Match with the version that `detail` and the ETag header name. "
        f"{_DO_NOT_RETRY}",
    ),
    errors.PreconditionFailed: ProblemType(
        HTTPStatus.PRECONDITION_FAILED,
        "precondition-failed",
        "Another version is current",
        "`If-Match` does not name the current version, so nothing was changed. GET the resource again, compare it, and "
        f"decide whether to change it; the ETag header names the current version. {_DO_NOT_RETRY}",
    ),
    errors.DeliveryNotFound: ProblemType(
        HTTPStatus.NOT_FOUND,
        "delivery-not-found",
        "No such delivery",
        "GET /api/v1/deliveries lists deliveries; those of an erased conversation were erased with it. "
        f"{_DO_NOT_RETRY}",
    ),
    errors.VoiceSessionNotFound: ProblemType(
        HTTPStatus.NOT_FOUND,
        "voice-session-not-found",
        "No such voice session",
        "Begin it first with POST /api/v1/voice/sessions. If its conversation was erased, drop the events queued for "
        f"it. {_DO_NOT_RETRY}",
    ),
    errors.VoiceSessionIdReused: ProblemType(
        HTTPStatus.CONFLICT,
        "voice-session-id-reused",
        "The voice session id is taken",
        f"A voice session with this id exists, in another conversation. Choose a new id. {_DO_NOT_RETRY}",
    ),
    errors.VoiceSessionEnded: ProblemType(
        HTTPStatus.CONFLICT,
        "voice-session-ended",
        "The voice session has ended with other facts",
        f"`detail` names the fields that differ. They were not changed; GET the receipt to see them. {_DO_NOT_RETRY}",
    ),
    errors.EventIdReused: ProblemType(
        HTTPStatus.CONFLICT,
        "event-id-reused",
        "The event id is taken",
        "Another event of the session with this id or this number is on record. For a retry, send the original; number "
        f"new events from `next_client_sequence` on. {_DO_NOT_RETRY}",
    ),
    errors.SearchDisabled: ProblemType(
        HTTPStatus.NOT_FOUND,
        "search-disabled",
        "Search is switched off",
        "The operator has set VERBATIM_SEARCH=false. Read conversations with GET /api/v1/conversations and their "
        f"messages. {_DO_NOT_RETRY}",
    ),
    errors.ProviderNotConfigured: ProblemType(
        HTTPStatus.CONFLICT,
        "provider-not-configured",
        "The service has no Deepgram key",
        "The operator can set VERBATIM_DEEPGRAM_API_KEY. The service records events and messages without it. "
        f"{_DO_NOT_RETRY}",
    ),
    errors.ProviderRefused: ProblemType(
        HTTPStatus.BAD_GATEWAY,
        "provider-refused",
        "Deepgram refused a token",
        "The operator must check the service's Deepgram key. The voice session itself works: send its events. "
        f"{_DO_NOT_RETRY}",
    ),
    errors.ProviderUnavailable: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "provider-unavailable",
        "Deepgram is not available",
        "The voice session itself works: send its events, and ask for a token again, with POST …/token, after the "
        "number of seconds in Retry-After.",
    ),
    errors.Busy: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "busy", "The service is busy", f"Nothing was stored. {_RETRY}"
    ),
    errors.TooManyRequests: ProblemType(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-requests",
        "Too many requests",
        f"The RateLimit headers name the limit and what is left of it. The request was not carried out. {_RETRY}",
    ),
    errors.IssuerUnavailable: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "issuer-unavailable",
        "The token cannot be checked now",
        f"The issuer's keys cannot be fetched. {_RETRY}",
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
        "Reading took longer than VERBATIM_STATEMENT_TIMEOUT. The same request is likely to take as long: ask for less "
        "at a time (`limit`), or try again later. The operator finds the SQLSTATE in the service's log.",
    ),
    errors.SearchTooSlow: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "search-too-slow",
        "Too many messages match",
        "The search took longer than 2 seconds, and is likely to take as long again. Narrow it: add a word that is "
        "rarer, or `user_id`, `role` or `context_type`, and leave out `word*`.",
    ),
    errors.Unreadable: INTERNAL,
    errors.NotRecorded: INTERNAL,
}
HTTP_PROBLEMS: Final = {
    problem.status.value: problem
    for problem in (
        ProblemType(HTTPStatus.NOT_FOUND, "not-found", "No such path", "/docs lists the paths of the API."),
        ProblemType(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The path does not allow this method",
            "The Allow header names the methods that the path allows.",
        ),
        ProblemType(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            BODY_TOO_LARGE,
            "The body is too large",
            "A body may have 2 MiB, a batch of messages or events 4 MiB, and either may have "
            f"{MAX_MARKS:,} JSON values; send less at a time. {_DO_NOT_RETRY}",
        ),
        ProblemType(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "The body must be JSON",
            "Send Content-Type: application/json and no Content-Encoding: compressed bodies are not accepted.",
        ),
        ProblemType(
            HTTPStatus.BAD_REQUEST, "bad-request", "The request cannot be read as HTTP", "Check the client library."
        ),
        ProblemType(
            HTTPStatus.REQUEST_TIMEOUT,
            "request-timeout",
            "The request arrived too slowly",
            "The head of a request must arrive within 10 s, its body within 300 s and with 1 KiB a second. Whether the "
            "request was carried out is unknown: connect again and send it again with the same ids.",
        ),
        ProblemType(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head-too-large",
            "The head of the request is too large",
            "The request line and the header fields may have 32 KiB together, and there may be 100 header fields. "
            f"{_DO_NOT_RETRY}",
        ),
    )
}
ALL: Final = {problem.slug: problem for problem in (*PROBLEMS.values(), *HTTP_PROBLEMS.values(), UNREADY)}


# Cached, because prometheus_client takes a lock to find the metric of some labels.
_refusals: Final = lru_cache(256)(metrics.REFUSALS.labels)


def count(problem: ProblemType) -> None:
    """Count a response with ``problem`` in the metrics."""
    _refusals(problem.slug).inc()


def problem_body(problem: ProblemType, detail: str, faults: tuple[Fault, ...] = (), **more: object) -> dict[str, Any]:
    """Return the members of a problem document about the current request, and count it in the metrics."""
    count(problem)
    return document_of(problem, detail, request_id.get(), faults) | more


def document_of(problem: ProblemType, detail: str, identity: str, faults: tuple[Fault, ...] = ()) -> dict[str, Any]:
    """Return the members of a problem document about the request with the id ``identity``, 32 hexadecimal digits."""
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
    """Return the problem document of ``error``, for a response or for one result of a batch."""
    more = {"more_errors": error.more} if isinstance(error, Invalid) and error.more else {}
    return problem_body(PROBLEMS[type(error)], str(error), faults_of(error), **more)


def refusal(error: RecordError) -> Response:
    """Return the HTTP response for ``error``."""
    return problem_response(refusal_body(error), refusal_headers(error))


def http_refusal(error: HTTPException) -> Response:
    """Return the HTTP response for ``error``, which is of Starlette, FastAPI or `json_body`."""
    problem = HTTP_PROBLEMS.get(error.status_code, INTERNAL)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return problem_response(problem_body(problem, problem.remedy), headers)


def refusal_headers(error: RecordError) -> dict[str, str]:
    """Return the response headers that client libraries read (RFC 9110, section 10.2.3; RFC 6750, section 3)."""
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
    """Return the HTTP response for an exception that is not of the tree of errors."""
    return problem_response(problem_body(INTERNAL, "The service failed; the request is not the cause."))


def problem_response(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return the HTTP response with the problem document ``body``."""
    return Response(orjson.dumps(body), body["status"], headers, PROBLEM_MEDIA_TYPE)


def install(app: FastAPI, routes: Sequence[APIRoute]) -> None:
    """Make the exception handlers of ``app``, which has ``routes``, respond with problem documents."""

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
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (methods := _methods(routes, request.url.path)):
            error.headers = {"allow": methods}
        return http_refusal(error)


def _methods(routes: Sequence[APIRoute], path: str) -> str:
    """Return the methods of all routes at ``path``, for Allow; Starlette's router names those of the first one only."""
    return ", ".join(
        sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()})
    )


def faults_of(error: RecordError) -> tuple[Fault, ...]:
    """Return the faults of single fields that ``error`` has, for the member `errors`."""
    if isinstance(error, Invalid):
        return error.faults
    if isinstance(error, LinkNotFound):
        return (Fault(f"/{error.field}", str(error)),)
    return ()


def page(problem: ProblemType) -> str:
    """Return the HTML page that describes ``problem``, served at its `type`."""
    title = html.escape(problem.title)
    remedy = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(problem.remedy))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body { font-family: system-ui; max-width: 40em; margin: 3em auto; padding: 0 1em }</style>"
        f"<body><h1>{title}</h1><p>{problem.status.value} · <code>{problem.type}</code></p><p>{remedy}</p>"
        "</body></html>"
    )
