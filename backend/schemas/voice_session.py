"""Request and response models of voice sessions: a phone begins a call, forwards Deepgram's events, and ends it."""

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from backend.schemas.deepgram_event import DeepgramEvent
from backend.schemas.fields import Label, Omitted, PlausibleTime, Timestamp
from backend.schemas.message import EXAMPLE_ON_RECORD as MESSAGE_ON_RECORD
from backend.schemas.message import MOST_PER_BATCH, MessageResponse
from backend.schemas.problem import ItemProblem, Problem
from backend.vocabulary import LARGEST_INT

_CONVERSATION: Final = "019ab5c0-1111-7000-8000-000000000001"
_EVENT: Final[dict[str, JsonValue]] = {
    "event": {"type": "ConversationText", "role": "user", "content": "Remind me to call the dentist."},
    "received_at": "2026-01-31T09:30:00.250Z",
    "client_sequence": 1,
}
_TOKEN: Final[dict[str, JsonValue]] = {
    "access_token": "eyJhbGciOi…",
    "expires_in": 60,
    "url": "wss://agent.deepgram.com/v1/agent/converse",
}
SESSION_EXAMPLE: Final[dict[str, JsonValue]] = {
    "id": "vs_0123456789abcdef",
    "conversation_id": _CONVERSATION,
    "started_at": "2026-01-31T09:29:58.120355Z",
    "next_client_sequence": 1,
    "deepgram": None,
}
_STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)

Count = Annotated[int, Field(ge=0, le=LARGEST_INT)]
Range = Annotated[list[int], Field(min_length=2, max_length=2)]


class VoiceSessionCreate(BaseModel):
    """The request with which a phone begins a call."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [{"conversation_id": _CONVERSATION}]})

    id: Annotated[str, Field(pattern=r"^vs_[0-9A-Za-z_-]{16,64}$")] | None = Field(
        default=None, description="Chosen by the phone, at random, so that a retry does not begin a second session."
    )
    conversation_id: UUID | None = Field(
        default=None, description="The conversation to continue; by default a new one."
    )
    user_id: Label | None = Field(
        default=None,
        description="The conversation's owner: the subject of that person's token, by default the client's own. Any "
        "other subject requires a service token with `conversations:write:any`.",
    )


class ProviderToken(BaseModel):
    """The token and the URL with which a phone opens its own connection to Deepgram."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TOKEN]})

    access_token: str = Field(description="To open one connection, with `Authorization: Bearer …`.")
    expires_in: float = Field(description="Seconds within which the phone must open the connection.")
    url: str


class VoiceSessionResponse(BaseModel):
    """A voice session that was begun."""

    model_config = ConfigDict(json_schema_extra={"examples": [SESSION_EXAMPLE | {"deepgram": _TOKEN}]})

    id: str
    conversation_id: UUID
    started_at: datetime
    next_client_sequence: int = Field(description="The number for the phone's next event.")
    deepgram: ProviderToken | None = Field(description="`null` if the service has no API key of Deepgram.")


class ProviderProblem(Problem):
    """A problem with the provider's token."""

    session: VoiceSessionResponse | Omitted = Field(
        default=None, description="The voice session, if the request began it: it works without a token."
    )


class Incident(BaseModel):
    """An event whose fields are stored: an error, a warning, a refused injection, a frustrated user."""

    type: str
    client_sequence: int | None
    received_at: datetime
    detail: dict[str, JsonValue]


class VoiceSessionState(BaseModel):
    """The state of a voice session."""

    id: str
    conversation_id: UUID
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    duration_seconds: int | None
    last_client_sequence: int | None = Field(description="The last number that the phone says it used.")
    provider: str
    provider_session_ids: list[str] = Field(description="Deepgram's ids of the first 1,000 connections.")
    message_count: int
    event_counts: dict[str, int] = Field(
        description="The number of events that are not messages, for the 100 most frequent types."
    )
    unverified_count: int = Field(
        description="The number of entries in Deepgram's history without an equal message in the conversation."
    )
    incidents: list[Incident] = Field(description="The first 100.")


class VoiceEventCreate(BaseModel):
    """An event of Deepgram, unchanged, with the phone's number and time."""

    model_config = _STRICT | ConfigDict(json_schema_extra={"examples": [_EVENT]})

    event: DeepgramEvent = Field(
        description="Deepgram's JSON, unchanged, whether it came from the server or the client."
    )
    received_at: Timestamp | None = Field(
        default=None,
        description="By the phone's clock; it should rise strictly. The time of recording replaces one that lies "
        "before 2000 or is more than five minutes in the future.",
    )
    client_sequence: Annotated[int, Field(ge=1, le=LARGEST_INT)] | None = Field(
        default=None, description="The phone's own number, from 1, of the events that it forwards in this session."
    )
    id: UUID | None = Field(
        default=None, description="Chosen by the phone; by default derived from the session and the number."
    )


class VoiceEventBatch(BaseModel):
    """1 to 500 events in one request; each gets its own result."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"events": [_EVENT]}]})

    events: Annotated[list[VoiceEventCreate], Field(min_length=1, max_length=MOST_PER_BATCH)]


class RecordedEvent(BaseModel):
    """The result of an event that is on record, with the messages that it became."""

    kind: Literal["recorded"]
    status: Literal[200, 201] = Field(description="201 if it is new, 200 if it was on record already.")
    messages: list[MessageResponse]


class VoiceEventResult(RootModel[Annotated[RecordedEvent | ItemProblem, Field(discriminator="kind")]]):
    """The result of one event of a batch."""


class VoiceEventResults(BaseModel):
    """One result for each event, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {"kind": "recorded", "status": 201, "messages": [MESSAGE_ON_RECORD]},
                        {"kind": "recorded", "status": 201, "messages": []},
                    ]
                }
            ]
        }
    )

    results: list[VoiceEventResult]


class VoiceSessionEnd(BaseModel):
    """The request with which a phone ends a call."""

    model_config = _STRICT | ConfigDict(
        json_schema_extra={"examples": [{"reason": "hangup", "last_client_sequence": 42}]}
    )

    reason: Label | None = None
    last_client_sequence: Count | None = Field(
        default=None,
        description="The last number that the phone used; without it, missing last ones go unnoticed.",
    )
    client_lost: Count = Field(
        default=0,
        description="How many events the phone heard or numbered and gave up. It may rise in a later request.",
    )
    ended_at: PlausibleTime = Field(
        default=None,
        description="By default now; also now if it lies before 2000 or is more than five minutes in the future.",
    )


class Receipt(BaseModel):
    """Which of a phone's numbered events are on record."""

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
                    "client_lost": 0,
                }
            ]
        }
    )

    complete: bool = Field(
        description="Whether the phone has ended the session, no number is missing, and `client_lost` is 0."
    )
    received: int
    expected: int = Field(description="The highest number that the phone named as its last, or that has arrived.")
    missing: list[Range] = Field(
        description="The first 1,000 ranges of missing numbers, each as first and last, both inclusive."
    )
    duplicates: int = Field(description="The number of events that arrived again.")
    last_sequence: int = Field(description="The sequence of the conversation's last message.")
    more_missing: int = Field(description="The number of missing ranges that `missing` does not name.")
    client_lost: int = Field(description="How many events the phone says it gave up. The service cannot name them.")
