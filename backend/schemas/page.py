"""Lists, and the places in them.

A cursor is a place just after (or, reading backward, just before) a row, and never a count of rows: what is written
meanwhile moves nobody. It is opaque to clients: base64url of a small JSON array.
"""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Generic, NamedTuple, Self, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from backend.errors import Fault, Invalid
from backend.schemas.fields import Instant, Label
from backend.vocabulary import ContextType, Intent, Role

DEFAULT_LIMIT: Final = 50
MOST: Final = 500
LARGEST_SEQUENCE: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Cursor = Annotated[str, Field(max_length=200)]

ItemT = TypeVar("ItemT")


class Order(StrEnum):
    """By when it was said, or by when it was recorded."""

    SPOKEN = "spoken"
    RECORDED = "recorded"


class Direction(StrEnum):
    """From the first towards the last, or from the last towards the first."""

    FORWARD = "forward"
    BACKWARD = "backward"


class Page(BaseModel, Generic[ItemT]):
    """A part of a list. ``next_cursor`` stays usable at the end: whoever asks again with it gets what came since.

    A page ends before ``limit`` where its rows are longer than a megabyte together; ``has_more`` tells.
    """

    data: list[ItemT]
    next_cursor: str | None
    has_more: bool


class MessagePlace(NamedTuple):
    """A place in a conversation, in either order."""

    order: Order
    direction: Direction
    timestamp: datetime
    sequence: int

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return _encode([self.order, self.direction, _microseconds(self.timestamp), self.sequence])

    @classmethod
    def parse(cls, cursor: str, order: Order, direction: Direction) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match _decode(cursor):
            case [str(of), str(towards), int(timestamp), int(sequence)] if (of, towards) == (order, direction):
                if 0 <= sequence <= LARGEST_SEQUENCE:
                    return cls(order, direction, _moment(timestamp), sequence)
        raise _unusable()


class ConversationPlace(NamedTuple):
    """A place in the list of conversations, newest first."""

    created_at: datetime
    id: UUID

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return _encode([_microseconds(self.created_at), str(self.id)])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match _decode(cursor):
            case [int(created_at), str(identity)]:
                try:
                    return cls(_moment(created_at), UUID(identity))
                except ValueError:
                    pass
        raise _unusable()


class FeedPlace(NamedTuple):
    """A place in the feed: just after a message, or, with a position of None, after one from before there was one."""

    position: int | None
    conversation_id: UUID = UUID(int=0)
    sequence: int = 0

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        if self.position is None:
            return _encode(["feed", str(self.conversation_id), self.sequence])
        return _encode(["feed", self.position])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match _decode(cursor):
            case ["feed", int(position)] if 0 <= position <= LARGEST_SEQUENCE:
                return cls(position)
            case ["feed", str(identity), int(sequence)] if 0 <= sequence <= LARGEST_SEQUENCE:
                try:
                    return cls(None, UUID(identity), sequence)
                except ValueError:
                    pass
        raise _unusable()


class DeliveryPlace(NamedTuple):
    """A place in the list of deliveries, newest first."""

    number: int

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return _encode([self.number])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match _decode(cursor):
            case [int(number)] if 0 <= number <= LARGEST_SEQUENCE:
                return cls(number)
        raise _unusable()


class MessageQuery(BaseModel):
    """Which messages of a conversation, and how many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: Order = Field(default=Order.SPOKEN, description="`recorded` is the order to follow a conversation in.")
    direction: Direction = Field(default=Direction.FORWARD, description="`backward` starts at the last message.")
    role: Role | None = None
    after_sequence: Annotated[int, Field(ge=0, le=LARGEST_SEQUENCE)] | None = Field(
        default=None, description="Only messages recorded after this one."
    )
    since: Instant | None = Field(default=None, description="Said at this time or later.")
    until: Instant | None = Field(default=None, description="Said before this time.")
    limit: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT_LIMIT
    cursor: Cursor | None = None


class LiveQuery(BaseModel):
    """Where in a conversation to begin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after_sequence: Annotated[int, Field(ge=0, le=LARGEST_SEQUENCE)] = Field(
        default=0, description="Only messages recorded after this one; `Last-Event-ID` comes first."
    )


class FeedStart(StrEnum):
    """At the first message on record, or at what comes next."""

    BEGINNING = "beginning"
    END = "end"


class FeedQuery(BaseModel):
    """Where in the feed, how many, and how long to wait for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: Cursor | None = Field(default=None, description="The `next_cursor` of the last answer.")
    start: FeedStart = Field(default=FeedStart.BEGINNING, description="Where to begin without a cursor.")
    limit: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT_LIMIT
    wait: Annotated[float, Field(ge=0, le=30)] = Field(
        default=0, description="Seconds to wait for a message, if there is none yet."
    )


class ConversationQuery(BaseModel):
    """Which conversations, and how many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context_type: ContextType | None = None
    intent: Intent | None = None
    ended: bool | None = None
    linked_goal_id: UUID | None = None
    linked_task_id: UUID | None = None
    voice_session_id: Label | None = None
    user_id: Label | None = Field(default=None, description="Another owner's; only for services that read everybody's.")
    since: Instant | None = Field(default=None, description="Opened at this time or later.")
    until: Instant | None = Field(default=None, description="Opened before this time.")
    limit: Annotated[int, Field(ge=1, le=MOST)] = DEFAULT_LIMIT
    cursor: Cursor | None = None


def _encode(parts: list[int | str]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def _decode(cursor: str) -> object:
    try:
        return orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise _unusable() from None


def _unusable() -> Invalid:
    return Invalid([Fault("/query/cursor", "is not a cursor of this list in this order; start again without it")])


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(microseconds: int) -> datetime:
    try:
        return _EPOCH + microseconds * _MICROSECOND
    except OverflowError:
        raise _unusable() from None
