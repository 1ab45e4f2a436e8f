"""What can be refused, in the words of the record.

    RecordError
    ├── Refused                  the caller must change something
    │   ├── TokenMissing
    │   ├── TokenInvalid         and why
    │   ├── ScopeMissing         and which
    │   ├── RoleNotAllowed
    │   ├── NotFromHere          nobody but this machine is let in
    │   ├── ForeignPage          in a browser on this machine
    │   ├── Invalid              where, and what is wanted there
    │   ├── ConversationNotFound
    │   ├── ConversationErased
    │   ├── ConversationIdReused
    │   ├── ConversationEnded    at another time than the caller says
    │   ├── ConversationHasSessions
    │   ├── HostOwnsConversations
    │   ├── HostKeepsConversation
    │   ├── MessageIdReused
    │   ├── LinkNotFound
    │   ├── IntentNotFound
    │   ├── IntentConflict       and what stands
    │   ├── PreconditionFailed   and which version stands
    │   ├── DeliveryNotFound
    │   ├── VoiceSessionNotFound
    │   ├── VoiceSessionIdReused
    │   ├── VoiceSessionEnded    otherwise than the caller says
    │   ├── EventIdReused
    │   ├── ProviderNotConfigured
    │   └── ProviderRefused      the operator must change something
    ├── Unavailable              the caller should send the same again
    │   ├── Busy
    │   ├── TooManyRequests
    │   ├── IssuerUnavailable
    │   ├── ProviderUnavailable
    │   ├── TooSlow              the database, with what was to be read
    │   └── DatabaseUnavailable
    ├── Unreadable               the operator must repair the database
    └── NotRecorded              the database refused for a reason that we do not know
    SetupError                   the operator must change something; said once, at start
    └── SettingsError            namely a setting

No sentence here ever holds what somebody said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

MOST_FAULTS: Final = 20  # that one refusal lists; a body of 2 MiB can have 190,000


class RecordError(Exception):
    """Something was not done; the sentence says what, and what would help."""


class Refused(RecordError):
    """The same request will be refused again."""


class Unavailable(RecordError):
    """Whether it was done is unknown or it was not done; the same request may be sent again.

    ``retry_after`` is in seconds, None where there is no time after which it is likely to succeed.
    """

    retry_after: int | None = 1


class TokenMissing(Refused):
    """Nobody said who they are."""

    def __init__(self) -> None:
        super().__init__("Send a token: Authorization: Bearer …")


class TokenInvalid(Refused):
    """The token proves nothing. ``why`` is in our own words and goes into a header, so it is ASCII without quotes."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The token is not accepted: {why}.")
        self.why = why


class ScopeMissing(Refused):
    """The token is good, but not for this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This needs a token with the scope {scope}.")
        self.scope = scope


class RoleNotAllowed(Refused):
    """Only a service may speak in this role."""

    def __init__(self, role: str) -> None:
        super().__init__(f"Only a service may write the role {role}.")


class NotFromHere(Refused):
    """Without authentication only this machine is served, under its own name."""

    def __init__(self) -> None:
        super().__init__(
            "Nothing is configured to tell callers apart, so only this machine is served, as localhost and through no "
            "proxy; the operator can configure VERBATIM_AUTH_ISSUERS, or VERBATIM_TRUSTED_PROXIES."
        )


class ForeignPage(Refused):
    """Without authentication a page of another origin may change nothing."""

    def __init__(self) -> None:
        super().__init__(
            "A browser sent this for a page of another origin; the operator can allow the origin with "
            "VERBATIM_CORS_ORIGINS."
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the input: an RFC 6901 JSON pointer and a sentence that does not quote the input."""

    pointer: str
    detail: str


class Invalid(Refused):
    """The input is not of the promised form.

    ``faults`` lists each different fault once, at most MOST_FAULTS of them; ``more`` counts the faults it leaves out.
    """

    def __init__(self, faults: Sequence[Fault], more: int = 0) -> None:
        super().__init__("The request is not of the form this operation takes; `errors` says where.")
        self.faults = tuple(dict.fromkeys(faults))[:MOST_FAULTS]
        self.more = more + len(faults) - len(self.faults)

    def below(self, place: str) -> "Invalid":
        """Return the same refusal with ``place`` before each pointer."""
        return Invalid([Fault(place + fault.pointer, fault.detail) for fault in self.faults], self.more)


class ConversationNotFound(Refused):
    """Missing, or somebody else's: the caller cannot tell."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"There is no conversation {conversation_id}.")
        self.conversation_id = conversation_id


class ConversationErased(Refused):
    """It was there, was the caller's, and was erased for good."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} was erased, and stays so; drop what is queued for it.")
        self.conversation_id = conversation_id


class ConversationIdReused(Refused):
    """The id was used before, for a conversation that is not the same."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} exists with other content; choose a new id.")
        self.conversation_id = conversation_id


class ConversationEnded(Refused):
    """It has ended before, at another time."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} has ended with another ended_at; that stands.")


class ConversationHasSessions(Refused):
    """Its voice sessions end it, and it has some."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} ends with its voice sessions; end those.")


class HostOwnsConversations(Refused):
    """The host application's table wants what only the host can give: ``rule`` is a column or a constraint of its."""

    def __init__(self, rule: str | None) -> None:
        super().__init__(
            f"The host's table conversations has a rule of its own ({rule}); "
            "create the conversation there and use its id here."
        )


class HostKeepsConversation(Refused):
    """A table of the host application's still refers to the conversation."""

    def __init__(self, conversation_id: UUID, rule: str | None) -> None:
        super().__init__(
            f"The host still refers to conversation {conversation_id} ({rule}); remove what refers to it first."
        )


class MessageIdReused(Refused):
    """The id was used before, for a message that is not the same."""

    def __init__(self, message_id: UUID, differing: Sequence[str]) -> None:
        super().__init__(
            f"Message {message_id} is on record with another {', '.join(differing)}; "
            "send the original again, or choose a new id."
        )
        self.message_id = message_id
        self.differing = tuple(differing)


class LinkNotFound(Refused):
    """A conversation cannot be linked to what does not exist."""

    def __init__(self, field: str, target: UUID) -> None:
        super().__init__(f"There is no {field.removeprefix('linked_').removesuffix('_id')} {target}.")
        self.field = field
        self.target = target


class IntentNotFound(Refused):
    """Nothing was understood yet of what the person wants."""

    def __init__(self, conversation_id: UUID) -> None:
        super().__init__(f"Conversation {conversation_id} has no intent yet.")


class IntentConflict(Refused):
    """Another intent stands, and the caller does not say that it may be replaced."""

    def __init__(self, version: str) -> None:
        super().__init__(f'Another intent stands; to replace it, send If-Match: "{version}".')
        self.tag = f'"{version}"'


class PreconditionFailed(Refused):
    """`If-Match` does not name the version that stands; ``tag`` is that version's, None where there is none yet."""

    def __init__(self, tag: str | None) -> None:
        super().__init__(
            "If-Match names a version, and there is none yet."
            if tag is None
            else f"If-Match does not name the version that stands, {tag}; nothing was changed."
        )
        self.tag = tag


class DeliveryNotFound(Refused):
    """There is none, or it went with its conversation."""

    def __init__(self, delivery_id: UUID) -> None:
        super().__init__(f"There is no delivery {delivery_id}.")


class VoiceSessionNotFound(Refused):
    """Missing, or somebody else's: the caller cannot tell."""

    def __init__(self) -> None:
        super().__init__("There is no such voice session.")


class VoiceSessionIdReused(Refused):
    """The id was used before, for another session."""

    def __init__(self) -> None:
        super().__init__("A voice session has this id already; choose a new one.")


class VoiceSessionEnded(Refused):
    """It has ended before, in another way; ``differing`` are the fields that say so."""

    def __init__(self, differing: Sequence[str]) -> None:
        super().__init__(f"The voice session has ended with another {', '.join(differing)}; that stands.")


class EventIdReused(Refused):
    """The id was used before in the session, for an event that is not the same."""

    def __init__(self, event_id: UUID) -> None:
        super().__init__(
            f"Event {event_id} is on record with other content; send the original again, or count on from where the "
            "session stands (`next_client_sequence`)."
        )


class ProviderNotConfigured(Refused):
    """The service has no key of Deepgram's."""

    def __init__(self) -> None:
        super().__init__("There is no key to get tokens with; the operator can set VERBATIM_DEEPGRAM_API_KEY.")


class ProviderRefused(Refused):
    """Deepgram gives no token for the key that the service has, or answers what nobody understands."""

    def __init__(self) -> None:
        super().__init__("Deepgram refused a token to the service; its operator must look at the key and its role.")


class Busy(Unavailable):
    """Something else holds what we need; nothing was stored."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; send the same again.")


class TooManyRequests(Unavailable):
    """More came than one caller may send; nothing of this request was looked at. ``whose`` is the limit's name."""

    def __init__(self, whose: str, retry_after: int) -> None:
        super().__init__(f"Too many requests from this {whose}; send the same again in {retry_after} s.")
        self.retry_after = retry_after


class IssuerUnavailable(Unavailable):
    """The keys to check the token with are not to be had; the token may well be good."""

    retry_after = 5

    def __init__(self) -> None:
        super().__init__("The token cannot be checked, because its issuer does not answer; send the same again.")


class ProviderUnavailable(Unavailable):
    """Deepgram does not answer, or not now."""

    retry_after = 5

    def __init__(self) -> None:
        super().__init__("Deepgram gives no token now; ask again for one. The voice session goes on without.")


class TooSlow(Unavailable):
    """PostgreSQL did not read it within the time that one statement may take; the same again takes as long."""

    retry_after = None

    def __init__(self) -> None:
        super().__init__("The database took too long to read this; ask for less at a time, or later.")


class DatabaseUnavailable(Unavailable):
    """PostgreSQL is away or refuses work; whether the last request was stored is unknown.

    ``read_only`` tells that only a standby answers, which is perhaps about to become the primary.
    """

    retry_after = 1  # a standby takes over in less

    def __init__(self, *, read_only: bool = False) -> None:
        super().__init__("The database is not available; send the same again, with the same id.")
        self.read_only = read_only


class Unreadable(RecordError):
    """PostgreSQL cannot do it before an operator has done something: a damaged file, or a limit of the server's."""

    def __init__(self) -> None:
        super().__init__("The database cannot do this until its operator has repaired it; the service's log says more.")


class NotRecorded(RecordError):
    """A rule in the database that is not ours, or a bug of ours, stood in the way; nothing was stored."""

    def __init__(self) -> None:
        super().__init__("The database refused this message; it was not stored. The service's log says more.")


class SetupError(Exception):
    """The service cannot start as it is set up; the message is one sentence that says what to do."""


class SettingsError(SetupError):
    """A setting is unknown, or has a value that it cannot have."""
