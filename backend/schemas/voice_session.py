"""The words of a voice session, as they cross the wire."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.schemas.fields import JsonObject, Label, PlausibleTime, Timestamp
from backend.schemas.message import EXAMPLE as MESSAGE
from backend.schemas.message import MOST_PER_BATCH, MessageResponse
from backend.schemas.problem import Problem
from backend.vocabulary import LARGEST_INT

_CONVERSATION: Final = "019ab5c0-1111-7000-8000-000000000001"
_EVENT: Final[dict[str, JsonValue]] = {
    "event": {"type": "ConversationText", "role": "user", "content": "Remind me to call the dentist."},
    "received_at": "2026-01-31T09:30:00.250Z",
    "client_sequence": 1,
}
_STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)

Count = Annotated[int, Field(ge=0, le=LARGEST_INT)]
Range = Annotated[list[int], Field(min_length=2, max_length=2)]


class VoiceSessionCreate(BaseModel):
    """A phone begins a call."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"conversation_id": _CONVERSATION}]})

    id: Annotated[str, Field(pattern=r"^vs_[0-9A-Za-z_-]{16,64}$")] | None = Field(
        default=None, description="Chosen by the phone, at random, so that a retry begins no second call."
    )
    conversation_id: UUID | None = Field(default=None, description="The one to go on with; a new one, if left out.")
    user_id: Label | None = Field(
        default=None,
        description="Whose conversation it is: the subject of that person's token. Another subject than the sender's "
        "own needs a service with `conversations:write:any`.",
    )


class ProviderToken(BaseModel):
    """What a phone needs to talk to Deepgram itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access_token": "eyJhbGciOi…",
                    "expires_in": 60,
                    "url": "wss://agent.deepgram.com/v1/agent/converse",
                }
            ]
        }
    )

    access_token: str = Field(description="For one connection: `Authorization: Bearer …`.")
    expires_in: float = Field(description="Seconds until when the connection must have been opened.")
    url: str


class VoiceSessionResponse(BaseModel):
    """A voice session that has begun."""

    id: str
    conversation_id: UUID
    started_at: datetime
    next_client_sequence: int = Field(description="What the phone's next event is to be numbered with.")
    deepgram: ProviderToken | None = Field(description="`null` where the service has no key of Deepgram's.")


class Incident(BaseModel):
    """An event of which the text is kept: an error, a warning, a refusal, a user who loses patience."""

    type: str
    client_sequence: int | None
    received_at: datetime
    detail: dict[str, JsonValue]


class VoiceSessionState(BaseModel):
    """What is known of a voice session."""

    id: str
    conversation_id: UUID
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    duration_seconds: int | None
    last_client_sequence: int | None = Field(description="How far the phone says that it counted.")
    provider: str
    provider_session_ids: list[str] = Field(description="Deepgram's names for the first 1,000 connections.")
    message_count: int
    event_counts: dict[str, int] = Field(description="Events that are no messages, of the hundred most frequent types.")
    unverified_count: int = Field(description="What Deepgram remembers and the conversation does not hold.")
    incidents: list[Incident] = Field(description="The first hundred.")


class VoiceEventCreate(BaseModel):
    """An event of Deepgram's, as it came, and what the phone says of it."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [_EVENT]})

    event: JsonObject = Field(description="Deepgram's JSON, unchanged, whether it came from the server or the client.")
    received_at: Timestamp | None = Field(
        default=None,
        description="By the phone's clock; best strictly rising. The record's own time is taken for one that lies "
        "before 2000 or more than five minutes ahead.",
    )
    client_sequence: Annotated[int, Field(ge=1, le=LARGEST_INT)] | None = Field(
        default=None, description="The phone's own count, from 1, of all that it forwards in this session."
    )
    id: UUID | None = Field(
        default=None, description="Chosen by the phone; derived from session and count, if left out."
    )


class VoiceEventBatch(BaseModel):
    """Up to 500 events for one request; each gets its own answer."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"events": [_EVENT]}]})

    events: Annotated[list[VoiceEventCreate], Field(min_length=1, max_length=MOST_PER_BATCH)]


class VoiceEventResult(BaseModel):
    """What became of one event: noted (201 new, 200 before), with the messages that stand for it; or a problem."""

    status: int
    messages: list[MessageResponse] | None = None
    problem: Problem | None = None


class VoiceEventResults(BaseModel):
    """One result for each event, in the order sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"results": [{"status": 201, "messages": [MESSAGE]}, {"status": 201, "messages": []}]}]
        }
    )

    results: list[VoiceEventResult]


class VoiceSessionEnd(BaseModel):
    """The phone hangs up."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"examples": [{"reason": "hangup", "last_client_sequence": 42}]}
    )

    reason: Label | None = None
    last_client_sequence: Count | None = Field(
        default=None, description="How far the phone counted; only then is known whether the last ones are missing."
    )
    ended_at: PlausibleTime = Field(
        default=None, description="Now, if left out, or if it lies before 2000 or more than five minutes ahead."
    )


class Receipt(BaseModel):
    """What of a voice session is on record, by the phone's own count."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "complete": False,
                    "received": 39,
                    "expected": 42,
                    "missing": [[17, 18], [42, 42]],
                    "duplicates": 3,
                    "last_sequence": 21,
                    "more_missing": 0,
                }
            ]
        }
    )

    complete: bool = Field(description="The session has ended, by its phone's word, and nothing is missing.")
    received: int
    expected: int = Field(description="How far the phone counted, as it said, or as its events show.")
    missing: list[Range] = Field(
        description="Ranges of numbers that are not here, first and last; the first 1,000 of them."
    )
    duplicates: int = Field(description="Events that came again.")
    last_sequence: int = Field(description="The place of the conversation's last message.")
    more_missing: int = Field(description="How many ranges are missing besides those that `missing` names.")
