"""The problems that each operation may answer, with an example of each, which `/docs` shows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from backend import errors
from backend.api.problem_schemas import union
from backend.api.problems import HTTP_PROBLEMS, INTERNAL, PROBLEMS, ProblemType, document_of, faults_of
from backend.errors import Fault, RecordError
from backend.schemas.voice_session import SESSION_EXAMPLE

_REQUEST: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
_CONVERSATION: Final = UUID("019ab5c0-1111-7000-8000-000000000001")
_TASK: Final = UUID("019ab5c0-2222-7000-8000-000000000002")
_DELIVERY: Final = UUID("019ab5c0-3333-7000-8000-000000000003")
_VERSION: Final = "9f86d081884c7d659a2feaa0c55ad015"

REFUSALS: Final[Sequence[RecordError]] = (
    errors.TokenMissing(),
    errors.TokenInvalid("it has expired"),
    errors.ScopeMissing("conversations:write"),
    errors.RoleNotAllowed("system"),
    errors.NotFromHere(),
    errors.ForeignPage(),
    errors.Invalid([Fault("/context_type", "is required")]),
    errors.ConversationNotFound(_CONVERSATION),
    errors.ConversationErased(_CONVERSATION),
    errors.ConversationIdReused(_CONVERSATION),
    errors.ConversationEnded(_CONVERSATION),
    errors.ConversationHasSessions(_CONVERSATION),
    errors.HostOwnsConversations("tenant_id"),
    errors.HostKeepsConversation(_CONVERSATION, "clips_conversation_id_fkey"),
    errors.OnHold(_CONVERSATION),
    errors.HoldNotFound(_CONVERSATION),
    errors.MessageNotFound(UUID("019ab5c0-4444-7000-8000-000000000004")),
    errors.MessageIdReused(UUID("019ab5c0-4444-7000-8000-000000000004"), ["content"]),
    errors.LinkNotFound("linked_task_id", _TASK),
    errors.IntentNotFound(_CONVERSATION),
    errors.IntentConflict(_VERSION),
    errors.PreconditionFailed(f'"{_VERSION}"'),
    errors.DeliveryNotFound(_DELIVERY),
    errors.VoiceSessionNotFound(),
    errors.VoiceSessionIdReused(),
    errors.VoiceSessionEnded(["reason"]),
    errors.EventIdReused(UUID("019ab5c0-5555-7000-8000-000000000005")),
    errors.SearchDisabled(),
    errors.ProviderNotConfigured(),
    errors.ProviderRefused(),
    errors.ProviderUnavailable(),
    errors.Busy("All connections to the database are in use"),
    errors.TooManyRequests("subject", 17),
    errors.IssuerUnavailable(),
    errors.TooSlow(),
    errors.SearchTooSlow(),
    errors.DatabaseUnavailable(),
)
# The operations that may respond with a problem; one that is not listed comes from every operation with its status.
_ONLY_FROM: Final[Mapping[type[RecordError], frozenset[str]]] = {
    errors.RoleNotAllowed: frozenset({"recordMessage"}),
    errors.ConversationIdReused: frozenset({"createConversation"}),
    errors.ConversationEnded: frozenset({"endConversation"}),
    errors.ConversationHasSessions: frozenset({"endConversation"}),
    errors.HostOwnsConversations: frozenset({"createConversation", "beginVoiceSession"}),
    errors.HostKeepsConversation: frozenset({"eraseConversation"}),
    errors.OnHold: frozenset({"eraseConversation", "redactMessage"}),
    errors.MessageNotFound: frozenset({"redactMessage"}),
    errors.HoldNotFound: frozenset({"releaseConversation"}),
    errors.MessageIdReused: frozenset({"recordMessage"}),
    errors.LinkNotFound: frozenset({"linkConversation"}),
    errors.IntentNotFound: frozenset({"getIntent"}),
    errors.IntentConflict: frozenset({"putIntent"}),
    errors.VoiceSessionIdReused: frozenset({"beginVoiceSession"}),
    errors.VoiceSessionEnded: frozenset({"endVoiceSession"}),
    errors.EventIdReused: frozenset(),  # only in the result of one event of a batch
    errors.SearchDisabled: frozenset({"search"}),
    errors.SearchTooSlow: frozenset({"search"}),
    errors.ProviderNotConfigured: frozenset({"getDeepgramToken"}),
    errors.ProviderUnavailable: frozenset({"getDeepgramToken", "beginVoiceSession"}),
}
# The members that only some problems have.
_MORE: Final[Mapping[str, dict[str, Any]]] = {
    PROBLEMS[error].slug: {"session": SESSION_EXAMPLE} for error in (errors.ProviderRefused, errors.ProviderUnavailable)
}
# The path parameter that names the resource that was not found.
_NAMED_BY: Final[Mapping[type[RecordError], str]] = {
    errors.DeliveryNotFound: "{delivery_id}",
    errors.VoiceSessionNotFound: "{session_id}",
}
_CHANGING: Final = frozenset({"post", "put", "patch", "delete"})
_OF_EVERY_ROUTE: Final = ("internal-error", "too-slow", "not-from-here", "request-timeout", "head-too-large")


def add_problems(document: dict[str, Any]) -> None:
    """Add an example of each problem to the OpenAPI ``document``, and name at each operation the problems it has."""
    document["components"]["examples"] = _examples()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                for media_type in (each for name, each in response.get("content", {}).items() if "problem" in name):
                    slugs = [*_of(status, method, path, operation["operationId"])]
                    media_type["schema"] = union(slugs)
                    media_type["examples"] = {slug: {"$ref": f"#/components/examples/{slug}"} for slug in slugs}


def _examples() -> dict[str, Any]:
    shown = [
        *((PROBLEMS[type(error)], str(error), faults_of(error)) for error in REFUSALS),
        *((problem, problem.remedy, ()) for problem in (*HTTP_PROBLEMS.values(), INTERNAL)),
    ]
    return {
        problem.slug: {
            "summary": problem.title,
            "value": document_of(problem, detail, _REQUEST, faults) | _MORE.get(problem.slug, {}),
        }
        for problem, detail, faults in shown
    }


def _of(status: str, method: str, path: str, operation: str) -> Iterator[str]:
    """Yield the slugs of the problems that an operation may return with this status."""
    if status == "default":
        yield from _OF_EVERY_ROUTE
        return
    for error in map(type, REFUSALS):
        problem = PROBLEMS[error]
        if _is(problem, status) and _comes_from(error, method, path, operation):
            yield problem.slug
    for problem in HTTP_PROBLEMS.values():
        if _is(problem, status) and status not in {"400", "404"}:  # those are for unreadable HTTP and unknown paths
            yield problem.slug


def _is(problem: ProblemType, status: str) -> bool:
    return str(problem.status.value) == status


def _comes_from(error: type[RecordError], method: str, path: str, operation: str) -> bool:
    if error is errors.ForeignPage:
        return method in _CHANGING
    if error is errors.ConversationNotFound:
        return operation != "search" and not any(name in path for name in _NAMED_BY.values())
    if error in _NAMED_BY:
        return _NAMED_BY[error] in path
    return operation in _ONLY_FROM.get(error, {operation})
