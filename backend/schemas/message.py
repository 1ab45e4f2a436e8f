"""The words of a message, as they cross the wire."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.schemas import page
from backend.schemas.fields import Content, Instant, Label, Metadata, Timestamp
from backend.schemas.problem import Problem
from backend.vocabulary import LARGEST_BIGINT, LARGEST_INT, InputModality, Role

MOST_PER_BATCH: Final = 500  # messages, or events, in one request

EXAMPLE: Final[dict[str, JsonValue]] = {
    "id": "019ab5c0-2f6e-7c1a-9d55-3b1f0c8e7a42",
    "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
    "role": "user",
    "content": "Remind me to call the dentist tomorrow at nine.",
    "input_modality": "voice",
    "metadata": {"languages": ["en"]},
    "timestamp": "2026-01-31T09:30:00Z",
    "voice_session_id": None,
    "client_sequence": 1,
}


class MessageCreate(BaseModel):
    """One utterance, or one side of a function call, to be put on record."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [EXAMPLE]})

    id: UUID | None = Field(
        default=None, description="Chosen by the sender before the first attempt, so that every retry is harmless."
    )
    conversation_id: UUID
    role: Role
    content: Content
    input_modality: InputModality = InputModality.VOICE
    metadata: Metadata = Field(default_factory=dict)
    timestamp: Timestamp | None = Field(
        default=None,
        description="When it was said, by the sender's clock. When it was recorded, if left out, or if it lies before "
        "2000 or more than five minutes ahead; then `/timestamp` stands in `metadata.repaired`.",
    )
    voice_session_id: Label | None = None
    client_sequence: Annotated[int, Field(ge=0, le=LARGEST_INT)] | None = Field(
        default=None, description="The sender's own count."
    )


class MessageResponse(BaseModel):
    """One message as it stands in the record."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [EXAMPLE | {"sequence": 7, "created_at": "2026-01-31T09:30:00.412907Z"}]}
    )

    id: UUID
    conversation_id: UUID
    sequence: int = Field(description="Its place in the conversation: 1, 2, 3 …, without holes, for good.")
    role: Role
    content: str
    input_modality: InputModality
    metadata: dict[str, JsonValue]
    timestamp: datetime
    created_at: datetime
    voice_session_id: str | None
    client_sequence: int | None


class MessageBatch(BaseModel):
    """Up to 500 messages for one request; each gets its own answer."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"messages": [EXAMPLE]}]})

    messages: Annotated[list[MessageCreate], Field(min_length=1, max_length=MOST_PER_BATCH)]


class BatchResult(BaseModel):
    """What became of one message of a batch: a message (201 new, 200 on record before) or a problem."""

    status: int
    message: MessageResponse | None = None
    problem: Problem | None = None


class BatchResults(BaseModel):
    """One result for each message of the batch, in its order."""

    results: list[BatchResult]


class Order(StrEnum):
    """By when it was said, or by when it was recorded."""

    SPOKEN = "spoken"
    RECORDED = "recorded"


class Direction(StrEnum):
    """From the first towards the last, or from the last towards the first."""

    FORWARD = "forward"
    BACKWARD = "backward"


class MessagePlace(NamedTuple):
    """A place in a conversation, in either order."""

    order: Order
    direction: Direction
    timestamp: datetime
    sequence: int

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return page.encode_cursor([self.order, self.direction, page.to_microseconds(self.timestamp), self.sequence])

    @classmethod
    def parse(cls, cursor: str, order: Order, direction: Direction) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case [str(of), str(towards), int(timestamp), int(sequence)] if (of, towards) == (order, direction):
                if 0 <= sequence <= LARGEST_BIGINT:
                    return cls(order, direction, page.from_microseconds(timestamp), sequence)
        raise page.unusable_cursor()


class MessageQuery(BaseModel):
    """Which messages of a conversation, and how many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: Order = Field(default=Order.SPOKEN, description="`recorded` is the order to follow a conversation in.")
    direction: Direction = Field(default=Direction.FORWARD, description="`backward` starts at the last message.")
    role: Role | None = None
    after_sequence: Annotated[int, Field(ge=0, le=LARGEST_BIGINT)] | None = Field(
        default=None, description="Only messages recorded after this one."
    )
    since: Instant | None = Field(default=None, description="Said at this time or later.")
    until: Instant | None = Field(default=None, description="Said before this time.")
    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = page.DEFAULT_LIMIT
    cursor: page.Cursor | None = None


class LiveQuery(BaseModel):
    """Where in a conversation to begin."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after_sequence: Annotated[int, Field(ge=0, le=LARGEST_BIGINT)] = Field(
        default=0, description="Only messages recorded after this one; `Last-Event-ID` comes first."
    )
