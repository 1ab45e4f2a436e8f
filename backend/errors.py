"""The tree of errors: what the service refuses, and why. It knows no HTTP; `api.problems` maps it to status codes.

    RecordError
    ├── Refused                  a retry is refused, too: the client must change something
    │   ├── TokenMissing
    │   ├── TokenInvalid         with the reason
    │   ├── ScopeMissing         with the scope
    │   ├── RoleNotAllowed
    │   ├── NotFromHere          only clients on this machine are served
    │   ├── ForeignPage          a page of another origin, in a browser on this machine
    │   ├── Invalid              with a JSON pointer for each fault
    │   ├── ConversationNotFound
    │   ├── ConversationErased
    │   ├── ConversationIdReused
    │   ├── ConversationEnded    at another time than the request says
    │   ├── ConversationHasSessions
    │   ├── HostOwnsConversations
    │   ├── HostKeepsConversation
    │   ├── OnHold
    │   ├── HoldNotFound
    │   ├── MessageNotFound
    │   ├── MessageIdReused
    │   ├── LinkNotFound
    │   ├── IntentNotFound
    │   ├── IntentConflict       with the current version
    │   ├── PreconditionFailed   with the current version
    │   ├── DeliveryNotFound
    │   ├── VoiceSessionNotFound
    │   ├── VoiceSessionIdReused
    │   ├── VoiceSessionEnded    with other facts than the request says
    │   ├── EventIdReused
    │   ├── SearchDisabled
    │   ├── ProviderNotConfigured
    │   └── ProviderRefused      the operator must change something
    ├── Unavailable              the client should send the same request again
    │   ├── Busy
    │   ├── TooManyRequests
    │   ├── IssuerUnavailable
    │   ├── ProviderUnavailable
    │   ├── TooSlow              the statement timeout ended a query
    │   ├── SearchTooSlow        the client should search for less
    │   └── DatabaseUnavailable
    ├── Unreadable               the operator must repair the database
    └── NotRecorded              the database refused for a reason that this release does not know
    SetupError                   the service cannot start until the operator changes something
    └── SettingsError            the operator must change a setting

No message of an error quotes what a person said, because clients and logs keep these messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from verbatim_record.setup_error import SetupError

MAX_FAULTS: Final = 20  # listed in one response; a body of 2 MiB can have 190,000 faults


class RecordError(Exception):
    """A request failed. The message says what was wrong, and what the client should do."""


class Refused(RecordError):
    """The request was refused, and a retry will be refused, too."""


class Unavailable(RecordError):
    """The request was not carried out, or whether it was is unknown; the client may send the same request again.

    ``retry_after`` is in seconds; None where a retry is not more likely to succeed after some time.
    """

    retry_after: int | None = 1


class TokenMissing(Refused):
    """No bearer token was sent."""

    def __init__(self) -> None:
        super().__init__("No bearer token was sent. Send one: Authorization: Bearer …")


class TokenInvalid(Refused):
    """The bearer token is not accepted. ``why`` goes into a response header, so it is ASCII without quotes."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The token is not accepted: {why}.")
        self.why = why


class ScopeMissing(Refused):
    """The token is valid, but does not grant the scope that the operation needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This operation needs a token with the scope {scope}.")
        self.scope = scope


class RoleNotAllowed(Refused):
    """Only a service may record messages of this role."""

    def __init__(self, role: str) -> None:
        super().__init__(f"Only a service may record messages of the role {role}.")


class NotFromHere(Refused):
    """No issuers are configured, and the client is not on this machine, or named another host than localhost."""

    def __init__(self) -> None:
        super().__init__(
            "No authentication is configured, so only clients on this machine are served, as localhost and through no "
            "proxy. The operator can configure VERBATIM_AUTH_ISSUERS, or VERBATIM_TRUSTED_PROXIES."
        )


class ForeignPage(Refused):
    """No issuers are configured, and a page of another origin sent a request that may change something."""

    def __init__(self) -> None:
        super().__init__(
            "A browser sent this request for a page of another origin. The operator can allow the origin with "
            "VERBATIM_CORS_ORIGINS."
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the input: a JSON pointer to it (RFC 6901), and a sentence that does not quote the input."""

    pointer: str
    detail: str


class Invalid(Refused):
    """The input does not have the documented form.

    ``faults`` lists each different fault once, at most MAX_FAULTS of them; ``more`` counts the faults not listed.
    """

    def __init__(self, faults: Sequence[Fault], more: int = 0) -> None:
        super().__init__("The request does not have the documented form; `errors` lists the faults.")
        self.faults = tuple(dict.fromkeys(faults))[:MAX_FAULTS]
        self.more = more + len(faults) - len(self.faults)

    def below(self, place: str) -> "Invalid":
        """Return the same error with the JSON pointer ``place`` put before each pointer."""
        return Invalid([Fault(place + fault.pointer, fault.detail) for fault in self.faults], self.more)


class ConversationNotFound(Refused):
    """The conversation does not exist, or has another owner: the response is the same for both."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"There is no conversation {conversation_id}.")
        self.conversation_id = conversation_id


class ConversationErased(Refused):
    """The conversation belonged to the caller and was erased, which cannot be undone."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} was erased for good; drop the messages queued for it.")
        self.conversation_id = conversation_id


class ConversationIdReused(Refused):
    """A conversation with this id exists, and its owner or context type differs."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} exists with other content; choose a new id.")
        self.conversation_id = conversation_id


class ConversationEnded(Refused):
    """The conversation has ended already, at another time."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} has ended with another ended_at, which was not changed.")


class ConversationHasSessions(Refused):
    """The conversation has voice sessions, and ends when they end."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} ends with its voice sessions; end each of those.")


class HostOwnsConversations(Refused):
    """The host's table needs values that this service does not know: ``rule`` is its column or constraint."""

    def __init__(self, rule: str | None) -> None:
        super().__init__(
            f"The host's table conversations has a rule that this service does not know ({rule}); "
            "create the conversation in the host application and use its id here."
        )


class HostKeepsConversation(Refused):
    """A table of the host application still refers to the conversation; ``rule`` is its foreign key."""

    def __init__(self, conversation_id: UUID, rule: str | None) -> None:
        super().__init__(
            f"A table of the host still refers to conversation {conversation_id} ({rule}); delete those rows first."
        )


class OnHold(Refused):
    """The conversation is held, so that it can be neither erased nor redacted."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} is on hold; it stays as it is until the hold is released.")


class HoldNotFound(Refused):
    """The conversation exists, but is not held."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} is not on hold.")


class MessageNotFound(Refused):
    """The conversation exists, but has no such message."""

    def __init__(self, message_id: UUID) -> None:
        super().__init__(f"The conversation has no message {message_id}.")


class MessageIdReused(Refused):
    """A message with this id is on record, and the fields ``differing`` are not the same."""

    def __init__(self, message_id: UUID, differing: Sequence[str]) -> None:
        super().__init__(
            f"Message {message_id} is on record with another {', '.join(differing)}; "
            "send the original again, or choose a new id."
        )
        self.message_id = message_id
        self.differing = tuple(differing)


class LinkNotFound(Refused):
    """The goal or task that a conversation is to be linked to does not exist."""

    def __init__(self, field: str, target: UUID) -> None:
        super().__init__(f"There is no {field.removeprefix('linked_').removesuffix('_id')} {target}.")
        self.field = field
        self.target = target


class IntentNotFound(Refused):
    """The conversation exists, but has no intent yet."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} has no intent yet.")


class IntentConflict(Refused):
    """The conversation has another intent, and the request has no `If-Match` that names its version."""

    def __init__(self, version: str) -> None:
        super().__init__(f'The conversation has another intent; to replace it, send If-Match: "{version}".')
        self.tag = f'"{version}"'


class PreconditionFailed(Refused):
    """`If-Match` does not name the current version; ``tag`` is its entity tag, None if there is no version yet."""

    def __init__(self, tag: str | None) -> None:
        super().__init__(
            "If-Match names a version, but there is none yet; nothing was changed."
            if tag is None
            else f"If-Match does not name the current version, {tag}; nothing was changed."
        )
        self.tag = tag


class DeliveryNotFound(Refused):
    """The delivery does not exist, or was erased with its conversation."""

    def __init__(self, delivery_id: UUID) -> None:
        super().__init__(f"There is no delivery {delivery_id}.")


class VoiceSessionNotFound(Refused):
    """The voice session does not exist, or has another owner: the response is the same for both."""

    def __init__(self) -> None:
        super().__init__("There is no such voice session.")


class VoiceSessionIdReused(Refused):
    """A voice session with this id exists, in another conversation."""

    def __init__(self) -> None:
        super().__init__("A voice session has this id already; choose a new one.")


class VoiceSessionEnded(Refused):
    """The voice session has ended already, with other facts; ``differing`` are the fields that differ."""

    def __init__(self, differing: Sequence[str]) -> None:
        super().__init__(f"The voice session has ended with another {', '.join(differing)}, which was not changed.")


class EventIdReused(Refused):
    """An event of the session with this id is on record, and its content differs."""

    def __init__(self, event_id: UUID) -> None:
        super().__init__(
            f"Event {event_id} is on record with other content; send the original again, or number new events from the "
            "session's `next_client_sequence` on."
        )


class SearchDisabled(Refused):
    """The operator has switched search off, so no words of messages are stored."""

    def __init__(self) -> None:
        super().__init__("Search is switched off; the operator can set VERBATIM_SEARCH=true.")


class ProviderNotConfigured(Refused):
    """The service has no Deepgram key, so it cannot get tokens for phones."""

    def __init__(self) -> None:
        super().__init__("The service has no Deepgram key; the operator can set VERBATIM_DEEPGRAM_API_KEY.")


class ProviderRefused(Refused):
    """Deepgram refuses a token for the service's key, or its response has an unknown form."""

    def __init__(self) -> None:
        super().__init__("Deepgram refused a token to the service; the operator must check the key and its role.")


class Busy(Unavailable):
    """A resource is in use, so nothing was stored: ``what`` says which, without a full stop."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; send the same request again.")


class TooManyRequests(Unavailable):
    """The rate limit of a caller is used up; the request was not carried out. ``whose`` is `subject` or `address`."""

    def __init__(self, whose: str, retry_after: int) -> None:
        super().__init__(f"Too many requests from this {whose}; send the same request again in {retry_after} s.")
        self.retry_after = retry_after


class IssuerUnavailable(Unavailable):
    """The issuer's keys cannot be fetched, so the service cannot tell whether the token is valid."""

    retry_after = 5

    def __init__(self) -> None:
        super().__init__(
            "The token cannot be checked, because its issuer does not answer; send the same request again."
        )


class ProviderUnavailable(Unavailable):
    """Deepgram does not answer, or asks the service to wait."""

    retry_after = 5

    def __init__(self) -> None:
        super().__init__(
            "Deepgram issues no token now; ask for one again. The voice session records events without a token."
        )


class TooSlow(Unavailable):
    """A query exceeded its time; the same query is likely to exceed it again. ``advice`` says what would help."""

    retry_after = None

    def __init__(self, advice: str = "ask for less at a time, or try again later") -> None:
        super().__init__(f"The database took too long to read this; {advice}.")


class SearchTooSlow(Unavailable):
    """A search took longer than its time limit; the same search is likely to exceed it again."""

    retry_after = None

    def __init__(self) -> None:
        super().__init__(
            "Too many messages match. Narrow the search: add a word that is rarer, or `user_id`, `role` or "
            "`context_type`, and leave out `word*`."
        )


class DatabaseUnavailable(Unavailable):
    """PostgreSQL does not answer or refuses work; whether the request was committed is unknown.

    ``read_only`` tells that only a standby answers; a failover may soon make it the primary.
    """

    retry_after = 1  # a failover takes less

    def __init__(self, *, read_only: bool = False) -> None:
        super().__init__("The database is not available; send the same request again, with the same ids.")
        self.read_only = read_only


class Unreadable(RecordError):
    """PostgreSQL cannot carry this out until the operator acts: a damaged file, or a limit of the server."""

    def __init__(self) -> None:
        super().__init__("The database cannot do this until the operator has repaired it; see the service's log.")


class NotRecorded(RecordError):
    """A rule of the database that this release does not know, or a bug, refused the message; it was not stored."""

    def __init__(self) -> None:
        super().__init__("The database refused this message, and it was not stored; see the service's log.")


class SettingsError(SetupError):
    """A setting is unknown or has an invalid value."""
