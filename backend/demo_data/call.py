"""A planned call: what its senders do, step by step, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum, auto
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from backend.dao_service.demo_data_dao import FIRST_ID, PastDelivery
from backend.schemas.fields import JsonObject
from backend.schemas.intent import IntentPut
from backend.schemas.message import MessageCreate
from backend.schemas.voice_session import VoiceSessionEnd
from backend.vocabulary import ContextType

_NAMESPACE: Final = UUID("3b8ff2c4-6f0b-4a52-9d2e-7d1f2a5c9e11")
_MARK: Final = 4  # first bytes of an id that tell that it belongs to demo data
_VERSION: Final = 6  # the byte that holds a UUID's version


class Sender(StrEnum):
    """What sends the messages of a call: a phone, a recorder inside a pipeline, or a chat."""

    PHONE = auto()
    PIPECAT = auto()
    LIVEKIT = auto()
    CHAT = auto()


class Trouble(StrEnum):
    """What goes wrong, or is unusual, in a call."""

    ABANDONED = auto()  # the phone never ends its session
    MISSING = auto()  # some events never arrive
    LOST = auto()  # the phone says that it gave up events
    LATE = auto()  # some events arrive minutes after the end
    REPAIRED = auto()  # the phone's clock is wrong for a while, and arguments are no text
    RESUMED = auto()  # the connection is lost, and the phone begins a second session
    RECONNECTED = auto()  # the phone connects to Deepgram again, within its session
    FAILED = auto()  # Deepgram ends the call with an error
    WARNED = auto()  # Deepgram warns
    FRUSTRATED = auto()  # the user sounds frustrated
    TYPED = auto()  # the user also types
    REPEATED = auto()  # the phone sends events twice
    INTERRUPTED = auto()  # the user often interrupts the assistant
    WORDLESS = auto()  # the user speaks, and no text comes
    SLOW = auto()  # the language model takes very long for one answer
    FUNCTION_FAILED = auto()
    FUNCTION_CANCELLED = auto()


class Fate(StrEnum):
    """What becomes of the delivery of a call's intent."""

    DELIVERED = auto()
    DELIVERED_LATE = auto()  # after several attempts
    WAITING = auto()
    FAILED = auto()
    HELD = auto()  # the orchestrator answered 410 to this one
    HELD_BEHIND = auto()  # it had answered 410 to another


@dataclass(frozen=True, slots=True)
class Wish:
    """What kind of call is wanted.

    ``messages`` is how long a very long or a very short one is, and ``slowness`` multiplies the model's latency.
    """

    name: str
    language: str
    sender: Sender = Sender.PHONE
    topics: int = 1
    messages: int | None = None
    troubles: frozenset[Trouble] = frozenset()
    fate: Fate | None = None
    slowness: float = 1.0


class Begin(NamedTuple):
    """A phone begins a voice session."""

    session_id: str
    at: datetime


class Forward(NamedTuple):
    """A phone forwards events, each with the time at which it is recorded."""

    session_id: str
    events: Sequence[tuple[JsonObject, datetime]]


class Post(NamedTuple):
    """A program posts messages, each with the time at which it is recorded."""

    messages: Sequence[tuple[MessageCreate, datetime]]


class EndSession(NamedTuple):
    """A phone ends its voice session."""

    session_id: str
    facts: VoiceSessionEnd
    at: datetime


class End(NamedTuple):
    """A program ends a conversation that has no voice session."""

    at: datetime


class SetIntent(NamedTuple):
    """A program sets the intent, and it is known what became of its delivery."""

    intent: IntentPut
    delivery: PastDelivery


Step = Begin | Forward | Post | EndSession | End | SetIntent


@dataclass(frozen=True, slots=True)
class Call:
    """A planned conversation, from ``opened_at`` until the last of its ``steps`` at ``over_at``."""

    wish: Wish
    id: UUID
    owner: str
    context_type: ContextType
    opened_at: datetime
    over_at: datetime
    steps: Sequence[Step]


def marked_id(*names: object) -> UUID:
    """Return the id of a conversation of demo data, which derives from ``names`` and begins as `FIRST_ID` does."""
    derived = bytearray(FIRST_ID.bytes[:_MARK] + derived_id(*names).bytes[_MARK:])
    derived[_VERSION] = 0x80 | (derived[_VERSION] & 0x0F)  # RFC 9562, version 8: the application's own layout
    return UUID(bytes=bytes(derived))


def derived_id(*names: object) -> UUID:
    """Return an id that derives from ``names``."""
    return uuid5(_NAMESPACE, ":".join(map(str, names)))


def text_of(moment: datetime) -> str:
    """Return a time as clients send it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
