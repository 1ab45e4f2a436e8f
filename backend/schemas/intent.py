"""The words of an intent, as they cross the wire."""

from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.schemas.fields import Payload
from backend.vocabulary import Intent

_EXAMPLE: Final[dict[str, JsonValue]] = {
    "intent": "NEW_TASK",
    "payload": {"title": "Call the dentist", "due": "2026-02-01T09:00:00+07:00"},
}


class IntentPut(BaseModel):
    """What the person wants done, as a service understood it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [_EXAMPLE]})

    intent: Intent
    payload: Payload


class ConversationIntent(BaseModel):
    """The intent of a conversation, as it stands."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                    **_EXAMPLE,
                    "version": "9f86d081884c7d659a2feaa0c55ad015",
                    "delivery_id": "019ab5c0-3333-7000-8000-000000000003",
                }
            ]
        }
    )

    conversation_id: UUID
    intent: Intent | str
    payload: JsonValue
    version: str = Field(description="The same for the same intent and payload; what `If-Match` names.")
    delivery_id: UUID | None = Field(description="What tells the orchestrator of it; null where none is configured.")
