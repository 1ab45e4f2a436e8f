"""One error class for each kind of problem. `make openapi` writes this file from `openapi.json`."""

from types import MappingProxyType
from typing import Final

from verbatim_record.errors import Problem


class BadRequest(Problem):
    """The request cannot be read as HTTP (400)."""


class BodyTooLarge(Problem):
    """The body is too large (413)."""


class Busy(Problem):
    """The service is busy (503)."""


class ConversationEnded(Problem):
    """The conversation has ended at another time (409)."""


class ConversationErased(Problem):
    """The conversation was erased (410)."""


class ConversationHasSessions(Problem):
    """The conversation ends with its voice sessions (409)."""


class ConversationIdReused(Problem):
    """The conversation id is taken (409)."""


class ConversationNotFound(Problem):
    """No such conversation (404)."""


class DatabaseUnavailable(Problem):
    """The database is not available (503)."""


class DeliveryNotFound(Problem):
    """No such delivery (404)."""


class EventIdReused(Problem):
    """The event id is taken (409)."""


class ForeignPage(Problem):
    """A page of another origin may not send this (403)."""


class HeadTooLarge(Problem):
    """The head of the request is too large (431)."""


class HostKeepsConversation(Problem):
    """The host application still refers to the conversation (409)."""


class HostOwnsConversations(Problem):
    """Only the host application can open conversations (409)."""


class IntentConflict(Problem):
    """The conversation has another intent (409)."""


class IntentNotFound(Problem):
    """No intent yet (404)."""


class InternalError(Problem):
    """A fault of the service (500)."""


class Invalid(Problem):
    """The request does not have the documented form (422)."""


class IssuerUnavailable(Problem):
    """The token cannot be checked now (503)."""


class LinkNotFound(Problem):
    """No such goal or task (422)."""


class MessageIdReused(Problem):
    """The message id is taken (409)."""


class MethodNotAllowed(Problem):
    """The path does not allow this method (405)."""


class NotFound(Problem):
    """No such path (404)."""


class NotFromHere(Problem):
    """Only this machine is served (421)."""


class PreconditionFailed(Problem):
    """Another version is current (412)."""


class ProviderNotConfigured(Problem):
    """The service has no Deepgram key (409)."""


class ProviderRefused(Problem):
    """Deepgram refused a token (502)."""


class ProviderUnavailable(Problem):
    """Deepgram is not available (503)."""


class RequestTimeout(Problem):
    """The request arrived too slowly (408)."""


class RoleNotAllowed(Problem):
    """The token does not allow this role (403)."""


class ScopeMissing(Problem):
    """The token lacks a scope (403)."""


class TokenInvalid(Problem):
    """The token is not accepted (401)."""


class TokenMissing(Problem):
    """A token is needed (401)."""


class TooManyRequests(Problem):
    """Too many requests (429)."""


class TooSlow(Problem):
    """The database took too long (504)."""


class UnsupportedMediaType(Problem):
    """The body must be JSON (415)."""


class VoiceSessionEnded(Problem):
    """The voice session has ended with other facts (409)."""


class VoiceSessionIdReused(Problem):
    """The voice session id is taken (409)."""


class VoiceSessionNotFound(Problem):
    """No such voice session (404)."""


PROBLEMS: Final = MappingProxyType(
    {
        "/problems/bad-request": BadRequest,
        "/problems/body-too-large": BodyTooLarge,
        "/problems/busy": Busy,
        "/problems/conversation-ended": ConversationEnded,
        "/problems/conversation-erased": ConversationErased,
        "/problems/conversation-has-sessions": ConversationHasSessions,
        "/problems/conversation-id-reused": ConversationIdReused,
        "/problems/conversation-not-found": ConversationNotFound,
        "/problems/database-unavailable": DatabaseUnavailable,
        "/problems/delivery-not-found": DeliveryNotFound,
        "/problems/event-id-reused": EventIdReused,
        "/problems/foreign-page": ForeignPage,
        "/problems/head-too-large": HeadTooLarge,
        "/problems/host-keeps-conversation": HostKeepsConversation,
        "/problems/host-owns-conversations": HostOwnsConversations,
        "/problems/intent-conflict": IntentConflict,
        "/problems/intent-not-found": IntentNotFound,
        "/problems/internal-error": InternalError,
        "/problems/invalid": Invalid,
        "/problems/issuer-unavailable": IssuerUnavailable,
        "/problems/link-not-found": LinkNotFound,
        "/problems/message-id-reused": MessageIdReused,
        "/problems/method-not-allowed": MethodNotAllowed,
        "/problems/not-found": NotFound,
        "/problems/not-from-here": NotFromHere,
        "/problems/precondition-failed": PreconditionFailed,
        "/problems/provider-not-configured": ProviderNotConfigured,
        "/problems/provider-refused": ProviderRefused,
        "/problems/provider-unavailable": ProviderUnavailable,
        "/problems/request-timeout": RequestTimeout,
        "/problems/role-not-allowed": RoleNotAllowed,
        "/problems/scope-missing": ScopeMissing,
        "/problems/token-invalid": TokenInvalid,
        "/problems/token-missing": TokenMissing,
        "/problems/too-many-requests": TooManyRequests,
        "/problems/too-slow": TooSlow,
        "/problems/unsupported-media-type": UnsupportedMediaType,
        "/problems/voice-session-ended": VoiceSessionEnded,
        "/problems/voice-session-id-reused": VoiceSessionIdReused,
        "/problems/voice-session-not-found": VoiceSessionNotFound,
    }
)
