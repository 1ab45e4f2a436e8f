"""Request and response models of a conversation's intent."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from backend.schemas.fields import Payload
from backend.vocabulary import Intent

_EXAMPLE: Final[dict[str, JsonValue]] = {
    "intent": "NEW_TASK",
    "payload": {"title": "Call the dentist", "due": "2026-02-01T09:00:00+07:00"},
}


# An open set of words: as `Intent | string` it would collapse to a string in most languages.
StoredIntent = Annotated[
    Intent | str,
    WithJsonSchema(
        {
            "type": "string",
            "x-extensible-enum": [word.value for word in Intent],
            "description": "One of `x-extensible-enum`, or another word that the host application has stored.",
        }
    ),
]


class IntentPut(BaseModel):
    """The intent that a service extracted from a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [_EXAMPLE]})

    intent: Intent
    payload: Payload


class ConversationIntent(BaseModel):
    """The current intent of a conversation."""

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
    intent: StoredIntent
    payload: JsonValue
    version: str = Field(description="The same for the same intent and payload; the value for `If-Match`.")
    delivery_id: UUID | None = Field(
        description="The delivery that sends it to the orchestrator; null if no orchestrator is configured."
    )
