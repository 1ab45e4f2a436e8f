"""Request and response models of deliveries, which hold no content of messages: the payload is not shown."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, computed_field

from backend.schemas import page
from backend.schemas.intent import StoredIntent
from backend.schemas.voice_session import Receipt
from backend.vocabulary import LARGEST_BIGINT, DeliveryState


def webhook_id(delivery_id: UUID) -> str:
    """Return the `webhook-id` header of a delivery, which is the same in each attempt."""
    return f"msg_{delivery_id.hex}"


def _not_read_only(schema: dict[str, JsonValue]) -> None:
    """Remove `readOnly`, for which generators make a second type of each type that holds the field."""
    del schema["readOnly"]


class DeliveryResponse(BaseModel):
    """One delivery to the orchestrator, and the outcome of its last attempt."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "019ab5c0-3333-7000-8000-000000000003",
                    "webhook_id": "msg_019ab5c0333370008000000000000003",
                    "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                    "type": "intent.extracted",
                    "state": "pending",
                    "attempts": 2,
                    "created_at": "2026-01-31T09:31:00.120355Z",
                    "due_at": "2026-01-31T09:36:07.000000Z",
                    "delivered_at": None,
                    "last_attempt_at": "2026-01-31T09:31:06.412907Z",
                    "last_status": 500,
                    "last_error": "The orchestrator answered 500.",
                }
            ]
        },
    )

    id: UUID
    conversation_id: UUID
    type: str
    state: DeliveryState = Field(
        description="`failed` after the last attempt, `held` after a 410; only an operator can send these again."
    )
    attempts: int
    created_at: datetime
    due_at: datetime = Field(description="While it is pending: the time of the next attempt, at the earliest.")
    delivered_at: datetime | None = Field(description="When the orchestrator last accepted it.")
    last_attempt_at: datetime | None
    last_status: int | None = Field(
        description="The HTTP status of the last attempt; null while one is under way, and without an answer."
    )
    last_error: str | None = Field(description="Why the last attempt failed, as a sentence.")

    @computed_field(json_schema_extra=_not_read_only)  # type: ignore[prop-decorator]
    @property
    def webhook_id(self) -> str:
        """The value of the header `webhook-id`, the same in each attempt."""
        return webhook_id(self.id)


class ExtractedIntent(BaseModel):
    """The intent that a delivery tells of."""

    conversation_id: UUID
    user_id: str | None
    voice_session_id: str | None
    intent: StoredIntent
    payload: JsonValue
    version: str = Field(description="The same for the same intent and payload; the value for `If-Match`.")
    replaces: str | None = Field(description="The `version` of the intent that this one replaces.")


class IntentExtracted(BaseModel):
    """The body of a delivery, a Standard Webhook: a conversation has a new intent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "intent.extracted",
                    "timestamp": "2026-01-31T09:31:00.120355Z",
                    "data": {
                        "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                        "user_id": "minh",
                        "voice_session_id": "vs_0123456789abcdef",
                        "intent": "NEW_TASK",
                        "payload": {"title": "Call the dentist"},
                        "version": "9f86d081884c7d659a2feaa0c55ad015",
                        "replaces": None,
                    },
                }
            ]
        }
    )

    type: Literal["intent.extracted"]
    timestamp: datetime = Field(description="When the intent was set.")
    data: ExtractedIntent


class EndedConversation(BaseModel):
    """The end that a delivery tells of, and the receipt of the voice session that ended last."""

    conversation_id: UUID
    voice_session_id: str | None = Field(description="null: the conversation has no voice session.")
    end_reason: Literal["abandoned"] | None = Field(
        description="`abandoned`: the service presumed the end, and it may go on. A phone's own reason is not told."
    )
    ended_at: datetime
    duration_seconds: int | None
    message_count: int
    receipt: Receipt | None


class ConversationEndedEvent(BaseModel):
    """The body of a delivery: a conversation has ended. If it goes on after that, its next end is told, too."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "conversation.ended",
                    "timestamp": "2026-01-31T09:35:00.120355Z",
                    "data": {
                        "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                        "voice_session_id": "vs_0123456789abcdef",
                        "end_reason": None,
                        "ended_at": "2026-01-31T09:35:00.120355Z",
                        "duration_seconds": 302,
                        "message_count": 40,
                        "receipt": {
                            "complete": True,
                            "received": 57,
                            "expected": 57,
                            "missing": [],
                            "duplicates": 0,
                            "last_sequence": 40,
                            "more_missing": 0,
                            "client_lost": 0,
                        },
                    },
                }
            ]
        }
    )

    type: Literal["conversation.ended"]
    timestamp: datetime = Field(description="When it ended.")
    data: EndedConversation


class ErasedConversation(BaseModel):
    """The erasure that a delivery tells of."""

    conversation_id: UUID
    erased_at: datetime
    message_count: int


class ConversationErasedEvent(BaseModel):
    """The body of a delivery: a conversation was erased. Erase what you keep of it (GDPR, article 19)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "conversation.erased",
                    "timestamp": "2026-01-31T09:35:00.120355Z",
                    "data": {
                        "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                        "erased_at": "2026-01-31T09:35:00.120355Z",
                        "message_count": 40,
                    },
                }
            ]
        }
    )

    type: Literal["conversation.erased"]
    timestamp: datetime
    data: ErasedConversation


class RedactedMessage(BaseModel):
    """The redaction that a delivery tells of."""

    conversation_id: UUID
    message_id: UUID
    sequence: int
    redacted_at: datetime


class MessageRedactedEvent(BaseModel):
    """The body of a delivery: words were taken out of a message. Read the message again in place of what you keep."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "message.redacted",
                    "timestamp": "2026-01-31T09:35:00.120355Z",
                    "data": {
                        "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                        "message_id": "019ab5c0-4444-7000-8000-000000000004",
                        "sequence": 2,
                        "redacted_at": "2026-01-31T09:35:00.120355Z",
                    },
                }
            ]
        }
    )

    type: Literal["message.redacted"]
    timestamp: datetime
    data: RedactedMessage


class DeliveryPage(page.Page[DeliveryResponse]):
    """A page of deliveries."""


class DeliveriesRetried(BaseModel):
    """How many deliveries are sent again, by their state before."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"failed": 12, "held": 0}]})

    failed: int
    held: int


class DeliveryQuery(BaseModel):
    """The query parameters of the list of deliveries."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    state: DeliveryState | None = None
    conversation_id: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = page.DEFAULT_LIMIT
    cursor: page.Cursor | None = None


class DeliveryPlace(NamedTuple):
    """A place in the list of deliveries, newest first."""

    number: int
    id: UUID

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return page.encode_cursor([self.number, str(self.id)])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case [int(number)] if 0 <= number <= LARGEST_BIGINT:  # of a release in which no two had the same number
                return cls(number, UUID(int=0))
            case [int(number), str(identity)] if 0 <= number <= LARGEST_BIGINT:
                with suppress(ValueError):
                    return cls(number, UUID(identity))
        raise page.unusable_cursor()
