"""The words of a message, as they cross the wire."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.schemas.fields import Content, Label, Metadata, Timestamp
from backend.schemas.problem import Problem
from backend.vocabulary import InputModality, Role

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
    client_sequence: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
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

    messages: Annotated[list[MessageCreate], Field(min_length=1, max_length=500)]


class BatchResult(BaseModel):
    """What became of one message of a batch: a message (201 new, 200 on record before) or a problem."""

    status: int
    message: MessageResponse | None = None
    problem: Problem | None = None


class BatchResults(BaseModel):
    """One result for each message of the batch, in its order."""

    results: list[BatchResult]
