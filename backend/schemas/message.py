"""Request and response models of messages."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from backend.schemas import page
from backend.schemas.fields import Content, Instant, Label, Metadata, Timestamp
from backend.schemas.problem import ItemProblem
from backend.vocabulary import LARGEST_BIGINT, LARGEST_INT
from verbatim_record.vocabulary import InputModality, Role

MOST_PER_BATCH: Final = 500  # messages, or events, in one request
# What the JSON parser keeps to use it again: no values, which hardly ever repeat. Parsing is 5 % faster so (measured).
_CACHED: Final = "keys"

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
EXAMPLE_ON_RECORD: Final[dict[str, JsonValue]] = EXAMPLE | {
    "sequence": 7,
    "created_at": "2026-01-31T09:30:00.412907Z",
}


class MessageCreate(BaseModel):
    """A message to record: one utterance, or one side (request or result) of a function call."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, cache_strings=_CACHED, json_schema_extra={"examples": [EXAMPLE]}
    )

    id: UUID | None = Field(
        default=None,
        description="Chosen by the client before the first attempt, so that a retry does not record it twice.",
    )
    conversation_id: UUID
    role: Role
    content: Content
    input_modality: InputModality = InputModality.VOICE
    metadata: Metadata = Field(default_factory=dict)
    timestamp: Timestamp | None = Field(
        default=None,
        description="When it was said, by the client's clock. The time of recording replaces one that is omitted, lies "
        "before 2000 or is more than five minutes in the future; a replaced one is named in `metadata.repaired`.",
    )
    voice_session_id: Label | None = None
    client_sequence: Annotated[int, Field(ge=0, le=LARGEST_INT)] | None = Field(
        default=None, description="The client's own numbering."
    )


class MessageResponse(BaseModel):
    """One message on record."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_ON_RECORD]})

    id: UUID
    conversation_id: UUID
    sequence: int = Field(description="Its place in the conversation: 1, 2, 3 …, without gaps; it never changes.")
    role: Role
    content: str
    input_modality: InputModality
    metadata: dict[str, JsonValue]
    timestamp: datetime
    created_at: datetime
    voice_session_id: str | None
    client_sequence: int | None


class MessagePage(page.Page[MessageResponse]):
    """A page of messages."""


class MessageBatch(BaseModel):
    """1 to 500 messages in one request; each gets its own result."""

    model_config = ConfigDict(
        extra="forbid", strict=True, cache_strings=_CACHED, json_schema_extra={"examples": [{"messages": [EXAMPLE]}]}
    )

    messages: Annotated[list[MessageCreate], Field(min_length=1, max_length=MOST_PER_BATCH)]


class RecordedMessage(BaseModel):
    """The result of a message that is on record."""

    kind: Literal["recorded"]
    status: Literal[200, 201] = Field(description="201 if it is new, 200 if it was on record already.")
    message: MessageResponse


class BatchResult(RootModel[Annotated[RecordedMessage | ItemProblem, Field(discriminator="kind")]]):
    """The result of one message of a batch."""


class BatchResults(BaseModel):
    """One result for each message of the batch, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"results": [{"kind": "recorded", "status": 201, "message": EXAMPLE_ON_RECORD}]}]
        }
    )

    results: list[BatchResult]


class Order(StrEnum):
    """The order of messages: by `timestamp` (when they were said), or by `sequence` (as they were recorded)."""

    SPOKEN = "spoken"
    RECORDED = "recorded"


class Direction(StrEnum):
    """From the first message to the last, or from the last to the first."""

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
    """The query parameters of a conversation's messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    order: Order = Field(default=Order.SPOKEN, description="Use `recorded` to follow a conversation.")
    direction: Direction = Field(default=Direction.FORWARD, description="`backward` begins with the last message.")
    role: Role | None = None
    after_sequence: Annotated[int, Field(ge=0, le=LARGEST_BIGINT)] | None = Field(
        default=None, description="Only messages with a greater sequence."
    )
    since: Instant | None = Field(default=None, description="Said at this time or later.")
    until: Instant | None = Field(default=None, description="Said before this time.")
    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = page.DEFAULT_LIMIT
    cursor: page.Cursor | None = None


class LiveQuery(BaseModel):
    """The query parameters of a conversation's live stream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    after_sequence: Annotated[int, Field(ge=0, le=LARGEST_BIGINT)] = Field(
        default=0, description="Only messages with a greater sequence; the header `Last-Event-ID` overrides it."
    )
