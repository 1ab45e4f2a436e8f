"""One error class for each kind of problem. `make openapi` writes this file from `openapi.json`."""

from types import MappingProxyType
from typing import Final

from verbatim_record.errors import Problem


class BadRequest(Problem):
    """The request cannot be read as HTTP. Check the client library."""


class BodyTooLarge(Problem):
    """The body is too large.

    A body may have 2 MiB, a batch of messages or events 4 MiB, and either may have 50,000 JSON values; send less
    at a time. Sending the same request again will not help.
    """


class Busy(Problem):
    """The service is busy.

    Nothing was stored. Send the same request again, with the same ids, after the number of seconds in
    Retry-After.
    """


class ConversationEnded(Problem):
    """The conversation has ended at another time.

    The first `ended_at` was not changed; GET the conversation to see it. Sending the same request again will not
    help.
    """


class ConversationErased(Problem):
    """The conversation was erased.

    It was erased with all its messages, for good. Drop the messages queued for it. Sending the same request again
    will not help.
    """


class ConversationHasSessions(Problem):
    """The conversation ends with its voice sessions.

    End each voice session with POST /api/v1/voice/sessions/…/end. Sending the same request again will not help.
    """


class ConversationIdReused(Problem):
    """The conversation id is taken.

    A conversation with this id and other content exists. Choose a new id. Sending the same request again will not
    help.
    """


class ConversationNotFound(Problem):
    """No such conversation.

    Open it first with POST /api/v1/conversations; a message cannot be recorded without a conversation. Sending
    the same request again will not help.
    """


class DatabaseUnavailable(Problem):
    """The database is not available.

    Whether the request was carried out is unknown. Send the same request again, with the same ids, after the
    number of seconds in Retry-After.
    """


class DeliveryNotFound(Problem):
    """No such delivery.

    GET /api/v1/deliveries lists deliveries; those of an erased conversation were erased with it. Sending the same
    request again will not help.
    """


class EventIdReused(Problem):
    """The event id is taken.

    Another event of the session with this id or this number is on record. For a retry, send the original; number
    new events from `next_client_sequence` on. Sending the same request again will not help.
    """


class ForeignPage(Problem):
    """A page of another origin may not send this.

    No authentication is configured, so pages of other origins may change nothing. The operator can allow the
    page's origin with VERBATIM_CORS_ORIGINS. Sending the same request again will not help.
    """


class HeadTooLarge(Problem):
    """The head of the request is too large.

    The request line and the header fields may have 32 KiB together, and there may be 100 header fields. Sending
    the same request again will not help.
    """


class HoldNotFound(Problem):
    """The conversation is not on hold.

    There is nothing to release; GET /api/v1/holds lists all holds. Sending the same request again will not help.
    """


class HostKeepsConversation(Problem):
    """The host application still refers to the conversation.

    A table of the host has a foreign key to it. Delete the rows that refer to it, then erase the conversation.
    Sending the same request again will not help.
    """


class HostOwnsConversations(Problem):
    """Only the host application can open conversations.

    Its table has columns or constraints that this service does not know. Let the host insert the row, then use
    its id. Sending the same request again will not help.
    """


class IntentConflict(Problem):
    """The conversation has another intent.

    GET it; to replace it, send If-Match with the version that `detail` and the ETag header name. Sending the same
    request again will not help.
    """


class IntentNotFound(Problem):
    """No intent yet.

    The conversation exists, but no client has PUT an intent. Sending the same request again will not help.
    """


class InternalError(Problem):
    """A fault of the service.

    Whether the request was carried out is unknown: send it again with the same ids, and report the request_id.
    """


class Invalid(Problem):
    """The request does not have the documented form.

    `errors` holds a JSON pointer and a sentence for each fault, at most 20; `more_errors` counts the others.
    Sending the same request again will not help.
    """


class IssuerUnavailable(Problem):
    """The token cannot be checked now.

    The issuer's keys cannot be fetched. Send the same request again, with the same ids, after the number of
    seconds in Retry-After.
    """


class LinkNotFound(Problem):
    """No such goal or task.

    `errors` names the field whose goal or task does not exist. Create it first. Sending the same request again
    will not help.
    """


class MessageIdReused(Problem):
    """The message id is taken.

    Another message with this id is on record; `detail` names the fields that differ. For a retry, send the
    original content; for a new message, choose a new id. Sending the same request again will not help.
    """


class MessageNotFound(Problem):
    """No such message.

    The conversation exists, but no message with this id is in it. Sending the same request again will not help.
    """


class MethodNotAllowed(Problem):
    """The path does not allow this method. The Allow header names the methods that the path allows."""


class NotFound(Problem):
    """No such path. /docs lists the paths of the API."""


class NotFromHere(Problem):
    """Only this machine is served.

    No authentication is configured. Connect from the service's machine, to localhost and through no proxy, or let
    the operator configure VERBATIM_AUTH_ISSUERS. The operator can list a proxy that names its clients in
    X-Forwarded-For in VERBATIM_TRUSTED_PROXIES. Sending the same request again will not help.
    """


class NotReady(Problem):
    """Not ready to record messages.

    `checks` names the faults. Send traffic to other workers until they are repaired.
    """


class OnHold(Problem):
    """The conversation is on hold.

    It must be kept as it is. An operator with the scope governance:manage can release it, with DELETE
    /api/v1/conversations/…/hold. Sending the same request again will not help.
    """


class PreconditionFailed(Problem):
    """Another version is current.

    `If-Match` does not name the current version, so nothing was changed. GET the resource again, compare it, and
    decide whether to change it; the ETag header names the current version. Sending the same request again will
    not help.
    """


class ProviderNotConfigured(Problem):
    """The service has no Deepgram key.

    The operator can set VERBATIM_DEEPGRAM_API_KEY. The service records events and messages without it. Sending
    the same request again will not help.
    """


class ProviderRefused(Problem):
    """Deepgram refused a token.

    The operator must check the service's Deepgram key. The voice session itself works: send its events. Sending
    the same request again will not help.
    """


class ProviderUnavailable(Problem):
    """Deepgram is not available.

    The voice session itself works: send its events, and ask for a token again, with POST …/token, after the
    number of seconds in Retry-After.
    """


class RequestTimeout(Problem):
    """The request arrived too slowly.

    The head of a request must arrive within 10 s, its body within 300 s and with 1 KiB a second. Whether the
    request was carried out is unknown: connect again and send it again with the same ids.
    """


class RoleNotAllowed(Problem):
    """The token does not allow this role.

    A person's token allows the roles user, assistant and function; the role system needs a service's token.
    Sending the same request again will not help.
    """


class ScopeMissing(Problem):
    """The token lacks a scope.

    `detail` names the scope that the operation needs. Ask the issuer of the token for it. Sending the same
    request again will not help.
    """


class SearchDisabled(Problem):
    """Search is switched off.

    The operator has set VERBATIM_SEARCH=false. Read conversations with GET /api/v1/conversations and their
    messages. Sending the same request again will not help.
    """


class SearchTooSlow(Problem):
    """Too many messages match.

    The search took longer than 2 seconds, and is likely to take as long again. Narrow it: add a word that is
    rarer, or `user_id`, `role` or `context_type`, and leave out `word*`.
    """


class TokenInvalid(Problem):
    """The token is not accepted.

    `detail` says why. Nothing was recorded: keep the message, get a new token, and send it again with that.
    """


class TokenMissing(Problem):
    """A token is needed.

    Send Authorization: Bearer … with a token of a configured issuer, or a service token. Nothing was recorded:
    keep the message, and send it again with a token.
    """


class TooManyRequests(Problem):
    """Too many requests.

    The RateLimit headers name the limit and what is left of it. The request was not carried out. Send the same
    request again, with the same ids, after the number of seconds in Retry-After.
    """


class TooSlow(Problem):
    """The database took too long.

    Reading took longer than VERBATIM_STATEMENT_TIMEOUT. The same request is likely to take as long: ask for less
    at a time (`limit`), or try again later. The operator finds the SQLSTATE in the service's log.
    """


class UnsupportedMediaType(Problem):
    """The body must be JSON.

    Send Content-Type: application/json and no Content-Encoding: compressed bodies are not accepted.
    """


class VoiceSessionEnded(Problem):
    """The voice session has ended with other facts.

    `detail` names the fields that differ. They were not changed; GET the receipt to see them. Sending the same
    request again will not help.
    """


class VoiceSessionIdReused(Problem):
    """The voice session id is taken.

    A voice session with this id exists, in another conversation. Choose a new id. Sending the same request again
    will not help.
    """


class VoiceSessionNotFound(Problem):
    """No such voice session.

    Begin it first with POST /api/v1/voice/sessions. If its conversation was erased, drop the events queued for
    it. Sending the same request again will not help.
    """


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
        "/problems/hold-not-found": HoldNotFound,
        "/problems/host-keeps-conversation": HostKeepsConversation,
        "/problems/host-owns-conversations": HostOwnsConversations,
        "/problems/intent-conflict": IntentConflict,
        "/problems/intent-not-found": IntentNotFound,
        "/problems/internal-error": InternalError,
        "/problems/invalid": Invalid,
        "/problems/issuer-unavailable": IssuerUnavailable,
        "/problems/link-not-found": LinkNotFound,
        "/problems/message-id-reused": MessageIdReused,
        "/problems/message-not-found": MessageNotFound,
        "/problems/method-not-allowed": MethodNotAllowed,
        "/problems/not-found": NotFound,
        "/problems/not-from-here": NotFromHere,
        "/problems/not-ready": NotReady,
        "/problems/on-hold": OnHold,
        "/problems/precondition-failed": PreconditionFailed,
        "/problems/provider-not-configured": ProviderNotConfigured,
        "/problems/provider-refused": ProviderRefused,
        "/problems/provider-unavailable": ProviderUnavailable,
        "/problems/request-timeout": RequestTimeout,
        "/problems/role-not-allowed": RoleNotAllowed,
        "/problems/scope-missing": ScopeMissing,
        "/problems/search-disabled": SearchDisabled,
        "/problems/search-too-slow": SearchTooSlow,
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
