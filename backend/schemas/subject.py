"""Request and response models of the export and the erasure of all conversations of one subject."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend.schemas import page
from backend.schemas.conversation import ConversationResponse
from backend.schemas.delivery import DeliveryResponse
from backend.schemas.fields import Label, Omitted
from backend.schemas.message import MessageResponse
from backend.schemas.voice_session import Receipt, VoiceSessionState


class SubjectQuery(BaseModel):
    """The query parameters of an export."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: Label | None = Field(
        default=None, description="The subject; by default a person's own. A service has to name one."
    )


class ExportedVoiceSession(VoiceSessionState):
    """A voice session in an export."""

    receipt: Receipt


class ExportedConversation(BaseModel):
    """A line of an export. The line of a conversation that is erased meanwhile ends early, with `erased`."""

    conversation: ConversationResponse
    messages: list[MessageResponse] = Field(description="In spoken order.")
    voice_sessions: list[ExportedVoiceSession] | Omitted = None
    deliveries: list[DeliveryResponse] | Omitted = None
    erased: Literal[True] | Omitted = None


class ErasureCreate(BaseModel):
    """A request to erase all conversations of a subject."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [{"user_id": "minh"}]}
    )

    user_id: Label | None = Field(
        default=None, description="The subject; by default a person's own. A service has to name one."
    )


class Tombstone(BaseModel):
    """What is left of a conversation of a person that was erased."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                    "erased_at": "2026-01-31T09:31:00.120355Z",
                    "message_count": 40,
                }
            ]
        },
    )

    conversation_id: UUID
    erased_at: datetime
    message_count: int


class ErasedPage(page.Page[Tombstone]):
    """A page of erased conversations, ordered by their ids."""


class ErasedQuery(SubjectQuery):
    """The query parameters of the list of erased conversations."""

    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = page.DEFAULT_LIMIT
    cursor: page.Cursor | None = None


class ErasedPlace(NamedTuple):
    """A place in the list of erased conversations."""

    conversation_id: UUID

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return page.encode_cursor(["erased", str(self.conversation_id)])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case ["erased", str(conversation_id)]:
                with suppress(ValueError):
                    return cls(UUID(conversation_id))
        raise page.unusable_cursor()


class Kept(BaseModel):
    """A conversation that could not be erased."""

    conversation_id: UUID
    detail: str = Field(description="Why, as a sentence.")


class ErasureResponse(BaseModel):
    """The outcome of one request to erase a subject's conversations."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "minh", "erased": 12, "messages": 480, "left": 0, "kept": []}]}
    )

    user_id: str
    erased: int = Field(description="The number of conversations that this request erased.")
    messages: int = Field(description="The number of messages in these.")
    left: int = Field(description="The number that is left: repeat the request until only those in `kept` are left.")
    kept: list[Kept] = Field(
        description="Conversations on hold, or to which a table of the host refers, at most 100; they stay."
    )
