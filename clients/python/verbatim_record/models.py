"""What the service takes and sends, as frozen dataclasses. `make openapi` writes this file from `openapi.json`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal, Self, TypeAlias, TypeVar
from uuid import UUID

T = TypeVar("T")

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = dict[str, JsonValue]


def _optional(read: Callable[[Any], T], value: Any) -> T | None:
    return None if value is None else read(value)


def _each(read: Callable[[Any], T], values: Any) -> tuple[T, ...]:
    return tuple(map(read, values))


Accents: TypeAlias = Literal["ignore", "exact"]
"""Whether a search without an accent finds the letter with it; `exact` finds only the letters that were typed."""

AuditAction: TypeAlias = Literal[
    "conversation.erased",
    "message.redacted",
    "conversation.held",
    "conversation.released",
    "retention.announced",
    "retention.ran",
    "subject.exported",
    "token.created",
    "token.revoked",
    "database.adopted",
]
"""What the audit tells of."""

CallState: TypeAlias = Literal["live", "ended", "abandoned"]
"""Whether a conversation goes on. `abandoned`: the service presumed its end, because its phone sent nothing."""

ContextType: TypeAlias = Literal["onboarding", "goal", "task", "reschedule", "voice"]
"""The subject matter of a conversation."""

DeliveryState: TypeAlias = Literal["pending", "delivered", "failed", "held"]
"""The state of a delivery to the orchestrator; `held` since it has answered 410 to a delivery."""

Direction: TypeAlias = Literal["forward", "backward"]
"""From the first message to the last, or from the last to the first."""

FeedStart: TypeAlias = Literal["beginning", "end"]
"""Where the feed begins without a cursor: at the first message on record, or after the last."""

Included: TypeAlias = Literal["summary"]
"""What an answer contains on request."""

InputModality: TypeAlias = Literal["voice", "text"]
"""How a message reached the assistant: spoken or typed."""

Intent: TypeAlias = Literal["GOAL", "NEW_TASK", "RESCHEDULE_TASK"]
"""What the person wants done, as the assistant understood it."""

Lane: TypeAlias = Literal["user", "assistant", "function", "connection", "incident"]
"""The row of a timeline in which a segment is drawn."""

Order: TypeAlias = Literal["spoken", "recorded"]
"""The order of messages: by `timestamp` (when they were said), or by `sequence` (as they were recorded)."""

Role: TypeAlias = Literal["user", "assistant", "system", "function"]
"""The role of a message's speaker. Deepgram's events have only `user` and `assistant`."""

SegmentKind: TypeAlias = Literal[
    "speech",
    "backchannel",
    "text",
    "wordless",
    "interruption",
    "silence",
    "call",
    "failed_call",
    "cancelled_call",
    "session",
    "reconnect",
    "error",
    "warning",
    "refused_injection",
    "frustration",
    "repaired",
    "late",
    "client_lost",
]
"""What a segment of a timeline shows."""

Source: TypeAlias = Literal["deepgram", "pipecat", "livekit", "posts"]
"""What recorded a message, by its `metadata.provider`; `posts` is every program that names none of the others."""

TranscriptFormat: TypeAlias = Literal["json", "jsonl", "text", "markdown", "vtt", "srt", "openai", "deepgram"]
"""The formats of a transcript."""

Width: TypeAlias = Literal["PT1M", "PT5M", "PT15M", "PT1H", "PT6H", "P1D", "P7D"]
"""The width of a bucket, as a duration of ISO 8601. Buckets begin at multiples of it in UTC; weeks on Mondays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageResponse:
    """One message on record."""

    id: UUID
    conversation_id: UUID
    sequence: int
    """Its place in the conversation: 1, 2, 3 …, without gaps; it never changes."""
    role: Role | str
    content: str
    input_modality: InputModality | str
    metadata: dict[str, JsonValue]
    timestamp: datetime
    created_at: datetime
    voice_session_id: str | None
    client_sequence: int | None
    etag: str | None = field(default=None, compare=False)
    """The version that the service answered with, for `if_match`; None inside of a list."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], etag: str | None = None) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            id=UUID(data["id"]),
            conversation_id=UUID(data["conversation_id"]),
            sequence=data["sequence"],
            role=data["role"],
            content=data["content"],
            input_modality=data["input_modality"],
            metadata=data["metadata"],
            timestamp=datetime.fromisoformat(data["timestamp"]),
            created_at=datetime.fromisoformat(data["created_at"]),
            voice_session_id=data["voice_session_id"],
            client_sequence=data["client_sequence"],
            etag=etag,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedMessage:
    """The result of a message that is on record."""

    kind: Literal["recorded"]
    status: int
    """201 if it is new, 200 if it was on record already."""
    message: MessageResponse

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            kind=data["kind"],
            status=data["status"],
            message=MessageResponse.from_json(data["message"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFault:
    """One fault of the request."""

    pointer: str
    """JSON pointer (RFC 6901) into the body, or `/query/…` or `/path/…` for parameters."""
    detail: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            pointer=data["pointer"],
            detail=data["detail"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderToken:
    """The token and the URL with which a phone opens its own connection to Deepgram."""

    access_token: str
    """To open one connection, with `Authorization: Bearer …`."""
    expires_in: float
    """Seconds within which the phone must open the connection."""
    url: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            access_token=data["access_token"],
            expires_in=data["expires_in"],
            url=data["url"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSessionResponse:
    """A voice session that was begun."""

    id: str
    conversation_id: UUID
    started_at: datetime
    next_client_sequence: int
    """The number for the phone's next event."""
    deepgram: ProviderToken | None
    """`null` if the service has no API key of Deepgram."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            id=data["id"],
            conversation_id=UUID(data["conversation_id"]),
            started_at=datetime.fromisoformat(data["started_at"]),
            next_client_sequence=data["next_client_sequence"],
            deepgram=_optional(ProviderToken.from_json, data["deepgram"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemDocument:
    """Why a request was not carried out."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    """The trace id of `traceparent`, or a new id; the service's log has it, too."""
    errors: tuple[InputFault, ...] | None = None
    """Each distinct fault once."""
    more_errors: int | None = None
    """The number of faults that `errors` leaves out; absent if it is complete."""
    session: VoiceSessionResponse | None = None
    """The voice session, if the request began it: it works without a token."""
    checks: dict[str, str] | None = None
    """For each part `ok`, or a word that names the fault."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            type=data["type"],
            title=data["title"],
            status=data["status"],
            detail=data["detail"],
            instance=data["instance"],
            request_id=data["request_id"],
            errors=_optional(partial(_each, InputFault.from_json), data.get("errors")),
            more_errors=data.get("more_errors"),
            session=_optional(VoiceSessionResponse.from_json, data.get("session")),
            checks=data.get("checks"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemProblem:
    """The result of a message or an event that was not recorded."""

    kind: Literal["problem"]
    status: int
    """The `status` of the problem."""
    problem: ProblemDocument

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            kind=data["kind"],
            status=data["status"],
            problem=ProblemDocument.from_json(data["problem"]),
        )


BatchResult: TypeAlias = ItemProblem | RecordedMessage
"""The result of one message of a batch."""


def read_batch_result(data: Mapping[str, Any]) -> BatchResult:
    """Return the model of a JSON object by its `kind`; raises ValueError, and as `from_json`."""
    match data["kind"]:
        case "problem":
            return ItemProblem.from_json(data)
        case "recorded":
            return RecordedMessage.from_json(data)
    raise ValueError("The kind is none that this release knows.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResults:
    """One result for each message of the batch, in the order of the request."""

    results: tuple[BatchResult, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            results=_each(read_batch_result, data["results"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An event whose fields are stored: an error, a warning, a refused injection, a frustrated user."""

    type: str
    client_sequence: int | None
    received_at: datetime
    detail: dict[str, JsonValue]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            type=data["type"],
            client_sequence=data["client_sequence"],
            received_at=datetime.fromisoformat(data["received_at"]),
            detail=data["detail"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSessionState:
    """The state of a voice session."""

    id: str
    conversation_id: UUID
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    duration_seconds: int | None
    last_client_sequence: int | None
    """The last number that the phone says it used."""
    provider: str
    provider_session_ids: tuple[str, ...]
    """Deepgram's ids of the first 1,000 connections."""
    message_count: int
    event_counts: dict[str, int]
    """The number of events that are not messages, for the 100 most frequent types."""
    unverified_count: int
    """The number of entries in Deepgram's history without an equal message in the conversation."""
    incidents: tuple[Incident, ...]
    """The first 100."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            id=data["id"],
            conversation_id=UUID(data["conversation_id"]),
            started_at=datetime.fromisoformat(data["started_at"]),
            ended_at=_optional(datetime.fromisoformat, data["ended_at"]),
            end_reason=data["end_reason"],
            duration_seconds=data["duration_seconds"],
            last_client_sequence=data["last_client_sequence"],
            provider=data["provider"],
            provider_session_ids=tuple(data["provider_session_ids"]),
            message_count=data["message_count"],
            event_counts=data["event_counts"],
            unverified_count=data["unverified_count"],
            incidents=_each(Incident.from_json, data["incidents"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """The result of an event that is on record, with the messages that it became."""

    kind: Literal["recorded"]
    status: int
    """201 if it is new, 200 if it was on record already."""
    messages: tuple[MessageResponse, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            kind=data["kind"],
            status=data["status"],
            messages=_each(MessageResponse.from_json, data["messages"]),
        )


VoiceEventResult: TypeAlias = ItemProblem | RecordedEvent
"""The result of one event of a batch."""


def read_voice_event_result(data: Mapping[str, Any]) -> VoiceEventResult:
    """Return the model of a JSON object by its `kind`; raises ValueError, and as `from_json`."""
    match data["kind"]:
        case "problem":
            return ItemProblem.from_json(data)
        case "recorded":
            return RecordedEvent.from_json(data)
    raise ValueError("The kind is none that this release knows.")


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceEventResults:
    """One result for each event, in the order of the request."""

    results: tuple[VoiceEventResult, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            results=_each(read_voice_event_result, data["results"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Which of a phone's numbered events are on record."""

    complete: bool
    """Whether the phone has ended the session, no number is missing, and `client_lost` is 0."""
    received: int
    expected: int
    """The highest number that the phone named as its last, or that has arrived."""
    missing: tuple[tuple[int, ...], ...]
    """The first 1,000 ranges of missing numbers, each as first and last, both inclusive."""
    duplicates: int
    """The number of events that arrived again."""
    last_sequence: int
    """The sequence of the conversation's last message."""
    more_missing: int
    """The number of missing ranges that `missing` does not name."""
    client_lost: int
    """How many events the phone says it gave up. The service cannot name them."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            complete=data["complete"],
            received=data["received"],
            expected=data["expected"],
            missing=_each(tuple, data["missing"]),
            duplicates=data["duplicates"],
            last_sequence=data["last_sequence"],
            more_missing=data["more_missing"],
            client_lost=data["client_lost"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLatency:
    """The total latencies of a call's answers in milliseconds; null without an answer whose latency is known."""

    p50: float | None
    p95: float | None
    max: float | None
    count: int
    """The number of answers whose latency is known."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            p50=data["p50"],
            p95=data["p95"],
            max=data["max"],
            count=data["count"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptSummary:
    """What the receipts of a conversation's voice sessions say together."""

    complete: bool
    """Whether every receipt is complete."""
    missing: int
    """The number of events that the phone numbered or gave up, and that are missing."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            complete=data["complete"],
            missing=data["missing"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What happened in a conversation, in figures; `docs/figures.md` defines each."""

    state: CallState | str
    turns: int
    interruptions: int
    functions: int
    """The number of function calls."""
    incidents: int
    latency_ms: CallLatency
    first_words: str | None
    """The first 100 characters of the user's first message, if that is one of the first 20 messages."""
    receipts: ReceiptSummary | None
    """`null` for a conversation without voice sessions."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            state=data["state"],
            turns=data["turns"],
            interruptions=data["interruptions"],
            functions=data["functions"],
            incidents=data["incidents"],
            latency_ms=CallLatency.from_json(data["latency_ms"]),
            first_words=data["first_words"],
            receipts=_optional(ReceiptSummary.from_json, data["receipts"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationResponse:
    """One conversation as it stands in the record."""

    id: UUID
    user_id: str | None
    context_type: ContextType | str
    voice_session_id: str | None
    extracted_intent: str | None
    intent_payload: JsonValue
    linked_goal_id: UUID | None
    linked_task_id: UUID | None
    ended_at: datetime | None
    duration_seconds: int | None
    message_count: int
    created_at: datetime
    updated_at: datetime
    summary: Summary | None = None
    """With `include=summary`. A list leaves out the summaries that take longer than a second."""
    etag: str | None = field(default=None, compare=False)
    """The version that the service answered with, for `if_match`; None inside of a list."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], etag: str | None = None) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            id=UUID(data["id"]),
            user_id=data["user_id"],
            context_type=data["context_type"],
            voice_session_id=data["voice_session_id"],
            extracted_intent=data["extracted_intent"],
            intent_payload=data["intent_payload"],
            linked_goal_id=_optional(UUID, data["linked_goal_id"]),
            linked_task_id=_optional(UUID, data["linked_task_id"]),
            ended_at=_optional(datetime.fromisoformat, data["ended_at"]),
            duration_seconds=data["duration_seconds"],
            message_count=data["message_count"],
            created_at=datetime.fromisoformat(data["created_at"]),
            updated_at=datetime.fromisoformat(data["updated_at"]),
            summary=_optional(Summary.from_json, data.get("summary")),
            etag=etag,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationPage:
    """A page of conversations."""

    data: tuple[ConversationResponse, ...]
    next_cursor: str | None
    """The `cursor` of the next page; it stays valid at the end of the list."""
    has_more: bool
    """Whether more follows now."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            data=_each(ConversationResponse.from_json, data["data"]),
            next_cursor=data["next_cursor"],
            has_more=data["has_more"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """A page of messages."""

    data: tuple[MessageResponse, ...]
    next_cursor: str | None
    """The `cursor` of the next page; it stays valid at the end of the list."""
    has_more: bool
    """Whether more follows now."""
    etag: str | None = field(default=None, compare=False)
    """The version that the service answered with, for `if_match`; None inside of a list."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], etag: str | None = None) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            data=_each(MessageResponse.from_json, data["data"]),
            next_cursor=data["next_cursor"],
            has_more=data["has_more"],
            etag=etag,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A whole conversation in spoken order."""

    conversation_id: UUID
    messages: tuple[MessageResponse, ...]
    etag: str | None = field(default=None, compare=False)
    """The version that the service answered with, for `if_match`; None inside of a list."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], etag: str | None = None) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            messages=_each(MessageResponse.from_json, data["messages"]),
            etag=etag,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineSegment:
    """One segment of a timeline."""

    lane: Lane | str
    kind: SegmentKind | str
    started_at: datetime
    ended_at: datetime | None
    """The same as `started_at` for a moment; null while it goes on."""
    estimated: bool
    """Whether one of the two times is an estimate."""
    message_id: UUID | None
    """The message that it shows, or that was interrupted."""
    label: str
    """At most 80 characters for people: the first words, a function's name, a sentence."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            lane=data["lane"],
            kind=data["kind"],
            started_at=datetime.fromisoformat(data["started_at"]),
            ended_at=_optional(datetime.fromisoformat, data["ended_at"]),
            estimated=data["estimated"],
            message_id=_optional(UUID, data["message_id"]),
            label=data["label"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """A part of a conversation's timeline, its segments by their beginnings."""

    conversation_id: UUID
    started_at: datetime
    """The time of its first message or voice session."""
    ended_at: datetime | None
    segments: tuple[TimelineSegment, ...]
    next_cursor: str | None
    """The `cursor` of the next part; it stays valid at the end."""
    has_more: bool
    """Whether more follows now."""
    etag: str | None = field(default=None, compare=False)
    """The version that the service answered with, for `if_match`; None inside of a list."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], etag: str | None = None) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            started_at=datetime.fromisoformat(data["started_at"]),
            ended_at=_optional(datetime.fromisoformat, data["ended_at"]),
            segments=_each(TimelineSegment.from_json, data["segments"]),
            next_cursor=data["next_cursor"],
            has_more=data["has_more"],
            etag=etag,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchNeighbour:
    """The message before or after one that was found, in recorded order."""

    sequence: int
    role: Role | str
    content: str
    """At most 200 characters of it."""
    cut: bool
    """Whether `content` lacks the rest of the message."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            sequence=data["sequence"],
            role=data["role"],
            content=data["content"],
            cut=data["cut"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A message that was found."""

    conversation_id: UUID
    message: MessageResponse
    ranges: tuple[tuple[int, ...], ...]
    """Where in `content` it was found: `[start, end]`, in Unicode code points from 0, `end` exclusive.

    Empty where the words are in `metadata`, or are written as escapes.
    """
    before: SearchNeighbour | None
    after: SearchNeighbour | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            message=MessageResponse.from_json(data["message"]),
            ranges=_each(tuple, data["ranges"]),
            before=_optional(SearchNeighbour.from_json, data["before"]),
            after=_optional(SearchNeighbour.from_json, data["after"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPage:
    """A page of messages that were found, the newest first."""

    data: tuple[SearchHit, ...]
    next_cursor: str | None
    """The `cursor` of the next page; it stays valid at the end of the list."""
    has_more: bool
    """Whether more follows now."""
    indexed_up_to: datetime | None
    """When the newest message that can be found was recorded; null if none can be found yet."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            data=_each(SearchHit.from_json, data["data"]),
            next_cursor=data["next_cursor"],
            has_more=data["has_more"],
            indexed_up_to=_optional(datetime.fromisoformat, data["indexed_up_to"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedVoiceSession:
    """A voice session in an export."""

    id: str
    conversation_id: UUID
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    duration_seconds: int | None
    last_client_sequence: int | None
    """The last number that the phone says it used."""
    provider: str
    provider_session_ids: tuple[str, ...]
    """Deepgram's ids of the first 1,000 connections."""
    message_count: int
    event_counts: dict[str, int]
    """The number of events that are not messages, for the 100 most frequent types."""
    unverified_count: int
    """The number of entries in Deepgram's history without an equal message in the conversation."""
    incidents: tuple[Incident, ...]
    """The first 100."""
    receipt: Receipt

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            id=data["id"],
            conversation_id=UUID(data["conversation_id"]),
            started_at=datetime.fromisoformat(data["started_at"]),
            ended_at=_optional(datetime.fromisoformat, data["ended_at"]),
            end_reason=data["end_reason"],
            duration_seconds=data["duration_seconds"],
            last_client_sequence=data["last_client_sequence"],
            provider=data["provider"],
            provider_session_ids=tuple(data["provider_session_ids"]),
            message_count=data["message_count"],
            event_counts=data["event_counts"],
            unverified_count=data["unverified_count"],
            incidents=_each(Incident.from_json, data["incidents"]),
            receipt=Receipt.from_json(data["receipt"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryResponse:
    """One delivery to the orchestrator, and the outcome of its last attempt."""

    id: UUID
    conversation_id: UUID
    type: str
    state: DeliveryState | str
    """`failed` after the last attempt, `held` after a 410; only an operator can send these again."""
    attempts: int
    created_at: datetime
    due_at: datetime
    """While it is pending: the time of the next attempt, at the earliest."""
    delivered_at: datetime | None
    """When the orchestrator last accepted it."""
    last_attempt_at: datetime | None
    last_status: int | None
    """The HTTP status of the last attempt; null while one is under way, and without an answer."""
    last_error: str | None
    """Why the last attempt failed, as a sentence."""
    webhook_id: str
    """The value of the header `webhook-id`, the same in each attempt."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            id=UUID(data["id"]),
            conversation_id=UUID(data["conversation_id"]),
            type=data["type"],
            state=data["state"],
            attempts=data["attempts"],
            created_at=datetime.fromisoformat(data["created_at"]),
            due_at=datetime.fromisoformat(data["due_at"]),
            delivered_at=_optional(datetime.fromisoformat, data["delivered_at"]),
            last_attempt_at=_optional(datetime.fromisoformat, data["last_attempt_at"]),
            last_status=data["last_status"],
            last_error=data["last_error"],
            webhook_id=data["webhook_id"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedConversation:
    """A line of an export. The line of a conversation that is erased meanwhile ends early, with `erased`."""

    conversation: ConversationResponse
    messages: tuple[MessageResponse, ...]
    """In spoken order."""
    voice_sessions: tuple[ExportedVoiceSession, ...] | None = None
    deliveries: tuple[DeliveryResponse, ...] | None = None
    erased: Literal[True] | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation=ConversationResponse.from_json(data["conversation"]),
            messages=_each(MessageResponse.from_json, data["messages"]),
            voice_sessions=_optional(partial(_each, ExportedVoiceSession.from_json), data.get("voice_sessions")),
            deliveries=_optional(partial(_each, DeliveryResponse.from_json), data.get("deliveries")),
            erased=data.get("erased"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """What is left of a conversation of a person that was erased."""

    conversation_id: UUID
    erased_at: datetime
    message_count: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            erased_at=datetime.fromisoformat(data["erased_at"]),
            message_count=data["message_count"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedPage:
    """A page of erased conversations, ordered by their ids."""

    data: tuple[Tombstone, ...]
    next_cursor: str | None
    """The `cursor` of the next page; it stays valid at the end of the list."""
    has_more: bool
    """Whether more follows now."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            data=_each(Tombstone.from_json, data["data"]),
            next_cursor=data["next_cursor"],
            has_more=data["has_more"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A conversation that could not be erased."""

    conversation_id: UUID
    detail: str
    """Why, as a sentence."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            detail=data["detail"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureResponse:
    """The outcome of one request to erase a subject's conversations."""

    user_id: str
    erased: int
    """The number of conversations that this request erased."""
    messages: int
    """The number of messages in these."""
    left: int
    """The number that is left: repeat the request until only those in `kept` are left."""
    kept: tuple[Kept, ...]
    """Conversations on hold, or to which a table of the host refers, at most 100; they stay."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            user_id=data["user_id"],
            erased=data["erased"],
            messages=data["messages"],
            left=data["left"],
            kept=_each(Kept.from_json, data["kept"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationIntent:
    """The current intent of a conversation."""

    conversation_id: UUID
    intent: str
    """One of `x-extensible-enum`, or another word that the host application has stored."""
    payload: JsonValue
    version: str
    """The same for the same intent and payload; the value for `If-Match`."""
    delivery_id: UUID | None
    """The delivery that sends it to the orchestrator; null if no orchestrator is configured."""
    etag: str | None = field(default=None, compare=False)
    """The version that the service answered with, for `if_match`; None inside of a list."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any], etag: str | None = None) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            intent=data["intent"],
            payload=data["payload"],
            version=data["version"],
            delivery_id=_optional(UUID, data["delivery_id"]),
            etag=etag,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage:
    """A page of deliveries."""

    data: tuple[DeliveryResponse, ...]
    next_cursor: str | None
    """The `cursor` of the next page; it stays valid at the end of the list."""
    has_more: bool
    """Whether more follows now."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            data=_each(DeliveryResponse.from_json, data["data"]),
            next_cursor=data["next_cursor"],
            has_more=data["has_more"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveriesRetried:
    """How many deliveries are sent again, by their state before."""

    failed: int
    held: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            failed=data["failed"],
            held=data["held"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldResponse:
    """A hold of a conversation, which lasts while `released_at` is null."""

    id: UUID
    conversation_id: UUID
    reason: str
    held_at: datetime
    held_by: str
    """The service that set it; `local` from this machine."""
    released_at: datetime | None
    released_by: str | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            id=UUID(data["id"]),
            conversation_id=UUID(data["conversation_id"]),
            reason=data["reason"],
            held_at=datetime.fromisoformat(data["held_at"]),
            held_by=data["held_by"],
            released_at=_optional(datetime.fromisoformat, data["released_at"]),
            released_by=data["released_by"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPage:
    """A page of holds."""

    data: tuple[HoldResponse, ...]
    next_cursor: str | None
    """The `cursor` of the next page; it stays valid at the end of the list."""
    has_more: bool
    """Whether more follows now."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            data=_each(HoldResponse.from_json, data["data"]),
            next_cursor=data["next_cursor"],
            has_more=data["has_more"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPlan:
    """What the retention erases next."""

    periods: dict[str, int]
    """Days after which conversations are erased, by context type."""
    begins_at: datetime | None
    """When these periods take effect, a day after they were announced; null before that."""
    due: dict[str, int]
    """How many conversations are older, by context type."""
    held: int
    """How many more would be erased, but are on hold."""
    complete: bool
    """Whether all were counted: a request counts for ten seconds."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            periods=data["periods"],
            begins_at=_optional(datetime.fromisoformat, data["begins_at"]),
            due=data["due"],
            held=data["held"],
            complete=data["complete"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntryResponse:
    """One entry of the audit: it holds nothing that was said, and no person's subject."""

    id: UUID
    at: datetime
    action: str
    """`conversation.erased`, `message.redacted`, `conversation.held`, `conversation.released`,
    `retention.announced`, `retention.ran`, `subject.exported`, `token.created`, `token.revoked`,
    `database.adopted`; later releases add others."""
    actor: str
    """The service that did it; `owner`: the person whose conversation it was; `local`: a command, or a client on
    this machine without a token."""
    conversation_id: UUID | None
    message_id: UUID | None
    details: dict[str, JsonValue]
    """Counts and names that the action has."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            id=UUID(data["id"]),
            at=datetime.fromisoformat(data["at"]),
            action=data["action"],
            actor=data["actor"],
            conversation_id=_optional(UUID, data["conversation_id"]),
            message_id=_optional(UUID, data["message_id"]),
            details=data["details"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """A page of the audit."""

    data: tuple[AuditEntryResponse, ...]
    next_cursor: str | None
    """The `cursor` of the next page; it stays valid at the end of the list."""
    has_more: bool
    """Whether more follows now."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            data=_each(AuditEntryResponse.from_json, data["data"]),
            next_cursor=data["next_cursor"],
            has_more=data["has_more"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceReadiness:
    """Whether the worker that answers can record messages: for each part `ok`, or a word that names the fault."""

    ready: bool
    database: str
    schema: str
    writes: str
    queue: str
    remedy: str | None
    """What is wrong and what to do, in sentences; null if nothing is."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            ready=data["ready"],
            database=data["database"],
            schema=data["schema"],
            writes=data["writes"],
            queue=data["queue"],
            remedy=data["remedy"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceDurability:
    """What an acknowledged message survives with PostgreSQL's settings."""

    survives: str
    """The worst failure after which no acknowledged message is lost."""
    promise: str
    """The same in a sentence, with the settings and standbys that decide it."""
    faults: tuple[str, ...]
    """A sentence for each setting with which acknowledged messages can be lost."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            survives=data["survives"],
            promise=data["promise"],
            faults=tuple(data["faults"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSchema:
    """The schema's revisions; a release runs on its own and on newer ones that are compatible with it."""

    code: str
    """The revision that this release was written for."""
    database: str | None
    """The revision that the database was migrated to; null before the first."""
    compatible_from: str | None
    """The oldest revision whose release runs on the database's schema."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            code=data["code"],
            database=data["database"],
            compatible_from=data["compatible_from"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceVersions:
    """The versions of what runs; `postgresql` is null while the database does not answer."""

    service: str
    python: str
    postgresql: str | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            service=data["service"],
            python=data["python"],
            postgresql=data["postgresql"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectedRelease:
    """The database connections of the processes of one release, on every machine."""

    schema: str
    """The revision that the release was written for."""
    connections: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            schema=data["schema"],
            connections=data["connections"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOutbox:
    """The deliveries to the orchestrator, each number counted up to 100,000."""

    waiting: int
    """Those that are due or wait for another attempt."""
    held: int
    """Those that are held since the orchestrator answered 410."""
    failed: int
    """Those that were given up after the last attempt."""
    oldest_at: datetime | None
    """When the oldest waiting delivery was queued."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            waiting=data["waiting"],
            held=data["held"],
            failed=data["failed"],
            oldest_at=_optional(datetime.fromisoformat, data["oldest_at"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSearch:
    """How far the search is behind the record."""

    lag_seconds: float
    """Age of the oldest new message that it does not find yet, 0 without one."""
    past_messages: int
    """About how many older messages it does not find yet."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            lag_seconds=data["lag_seconds"],
            past_messages=data["past_messages"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSize:
    """The size of a table on disk, with its indexes."""

    table: str
    bytes: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            table=data["table"],
            bytes=data["bytes"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSizes:
    """Sizes on the disk of the database's server."""

    database_bytes: int
    tables: tuple[TableSize, ...]
    """The tables that the service uses, the largest first."""
    wal_bytes: int | None
    """The write-ahead log; null if the service's role may not see it (`pg_monitor` may)."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            database_bytes=data["database_bytes"],
            tables=_each(TableSize.from_json, data["tables"]),
            wal_bytes=data["wal_bytes"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownPart:
    """A part of the answer that could not be read, and is null."""

    part: str
    reason: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            part=data["part"],
            reason=data["reason"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceResponse:
    """The state of the service. A part that could not be read is null, and `unknown` says why."""

    checked_at: datetime
    """When this was read. An answer is at most three seconds old."""
    readiness: ServiceReadiness
    durability: ServiceDurability | None
    schema: ServiceSchema | None
    versions: ServiceVersions
    workers: int
    """Worker processes of the `verbatim serve` that answers, not of others."""
    followers: int
    """Clients that follow a conversation or the feed, at all of these workers."""
    releases: tuple[ConnectedRelease, ...] | None
    """The releases that are connected to the database, on this machine and on others.

    Connections through a pooler, and those that the service's role may not see, are not counted.
    """
    outbox: ServiceOutbox | None
    search: ServiceSearch | None
    """Null also while no process stores words for search."""
    sizes: ServiceSizes | None
    unknown: tuple[UnknownPart, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            checked_at=datetime.fromisoformat(data["checked_at"]),
            readiness=ServiceReadiness.from_json(data["readiness"]),
            durability=_optional(ServiceDurability.from_json, data["durability"]),
            schema=_optional(ServiceSchema.from_json, data["schema"]),
            versions=ServiceVersions.from_json(data["versions"]),
            workers=data["workers"],
            followers=data["followers"],
            releases=_optional(partial(_each, ConnectedRelease.from_json), data["releases"]),
            outbox=_optional(ServiceOutbox.from_json, data["outbox"]),
            search=_optional(ServiceSearch.from_json, data["search"]),
            sizes=_optional(ServiceSizes.from_json, data["sizes"]),
            unknown=_each(UnknownPart.from_json, data["unknown"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Percentiles of latencies in milliseconds, each one of the latencies; null if `count` is 0."""

    count: int
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            count=data["count"],
            p50=data.get("p50"),
            p90=data.get("p90"),
            p95=data.get("p95"),
            p99=data.get("p99"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFigures:
    """The latencies of answers: from the end of the user's speech to the beginning of the answer, and its stages."""

    total: Percentiles
    stt: Percentiles
    """Speech recognition."""
    llm: Percentiles
    """The language model."""
    tts: Percentiles
    """Speech synthesis."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            total=Percentiles.from_json(data["total"]),
            stt=Percentiles.from_json(data["stt"]),
            llm=Percentiles.from_json(data["llm"]),
            tts=Percentiles.from_json(data["tts"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What happened in a period."""

    calls: int
    """Conversations that were created."""
    minutes: float
    """Their lengths together; a call that goes on counts 0."""
    abandoned: int
    """Those whose end the service presumed, because the phone was silent."""
    incomplete: int
    """Those that have ended with a receipt that is not complete."""
    intents: dict[str, int]
    """The number of those with an intent, by intent."""
    turns: int
    """How often a speaker began to speak after the other, or first."""
    interruptions: int
    """Answers that the user interrupted."""
    incidents: dict[str, int]
    """The number of incidents, by type."""
    latency_ms: LatencyFigures

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            calls=data["calls"],
            minutes=data["minutes"],
            abandoned=data["abandoned"],
            incomplete=data["incomplete"],
            intents=data["intents"],
            turns=data["turns"],
            interruptions=data["interruptions"],
            incidents=data["incidents"],
            latency_ms=LatencyFigures.from_json(data["latency_ms"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The figures of one bucket."""

    calls: int
    """Conversations that were created."""
    minutes: float
    """Their lengths together; a call that goes on counts 0."""
    abandoned: int
    """Those whose end the service presumed, because the phone was silent."""
    incomplete: int
    """Those that have ended with a receipt that is not complete."""
    intents: dict[str, int]
    """The number of those with an intent, by intent."""
    turns: int
    """How often a speaker began to speak after the other, or first."""
    interruptions: int
    """Answers that the user interrupted."""
    incidents: dict[str, int]
    """The number of incidents, by type."""
    latency_ms: LatencyFigures
    start: datetime
    """Inclusive; the bucket ends where the next one starts."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            calls=data["calls"],
            minutes=data["minutes"],
            abandoned=data["abandoned"],
            incomplete=data["incomplete"],
            intents=data["intents"],
            turns=data["turns"],
            interruptions=data["interruptions"],
            incidents=data["incidents"],
            latency_ms=LatencyFigures.from_json(data["latency_ms"]),
            start=datetime.fromisoformat(data["start"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramPart:
    """How many answers had a total latency from `from_ms` (inclusive) to `to_ms` (exclusive; null is no bound)."""

    from_ms: float
    to_ms: float | None
    count: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            from_ms=data["from_ms"],
            to_ms=data["to_ms"],
            count=data["count"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLatencies:
    """The latencies of an answer in milliseconds, each null if it is unknown."""

    stt: float | None
    llm: float | None
    tts: float | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            stt=data["stt"],
            llm=data["llm"],
            tts=data["tts"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowAnswer:
    """One of the slowest answers of the period."""

    conversation_id: UUID
    message_id: UUID
    at: datetime
    """When it was said: the message's `timestamp`."""
    ms: float
    """The total latency."""
    stages: StageLatencies

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            message_id=UUID(data["message_id"]),
            at=datetime.fromisoformat(data["at"]),
            ms=data["ms"],
            stages=StageLatencies.from_json(data["stages"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The figures of a period: in all, and by buckets, of which each is there, also where nothing happened."""

    since: datetime
    until: datetime
    bucket: Width | str
    computed_at: datetime
    """The figures may be up to a minute old."""
    total: Figures
    buckets: tuple[Bucket, ...]
    histogram: tuple[HistogramPart, ...]
    """By total latency: ten parts for each power of ten, from the first that is not empty to the last."""
    slowest: tuple[SlowAnswer, ...]
    """The 20 with the largest total latency, the slowest first."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            since=datetime.fromisoformat(data["since"]),
            until=datetime.fromisoformat(data["until"]),
            bucket=data["bucket"],
            computed_at=datetime.fromisoformat(data["computed_at"]),
            total=Figures.from_json(data["total"]),
            buckets=_each(Bucket.from_json, data["buckets"]),
            histogram=_each(HistogramPart.from_json, data["histogram"]),
            slowest=_each(SlowAnswer.from_json, data["slowest"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageCreate:
    """A message to record: one utterance, or one side (request or result) of a function call."""

    id: UUID | None = None
    """Chosen by the client before the first attempt, so that a retry does not record it twice."""
    conversation_id: UUID
    role: Role
    content: str
    """What was said; at most 1048576 bytes of UTF-8."""
    input_modality: InputModality = "voice"
    metadata: dict[str, JsonValue] = field(default_factory=dict)
    """Any other data of the message: at most 16384 bytes as JSON, nested at most 32 levels."""
    timestamp: datetime | None = None
    """When it was said, by the client's clock.

    The time of recording replaces one that is omitted, lies before 2000 or is more than five minutes in the
    future; a replaced one is named in `metadata.repaired`.
    """
    voice_session_id: str | None = None
    client_sequence: int | None = None
    """The client's own numbering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceEventCreate:
    """An event of Deepgram, unchanged, with the phone's number and time."""

    event: JsonObject
    """Deepgram's JSON, unchanged, whether it came from the server or the client."""
    received_at: datetime | None = None
    """By the phone's clock; it should rise strictly.

    The time of recording replaces one that lies before 2000 or is more than five minutes in the future.
    """
    client_sequence: int | None = None
    """The phone's own number, from 1, of the events that it forwards in this session."""
    id: UUID | None = None
    """Chosen by the phone; by default derived from the session and the number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractedIntent:
    """The intent that a delivery tells of."""

    conversation_id: UUID
    user_id: str | None
    voice_session_id: str | None
    intent: str
    """One of `x-extensible-enum`, or another word that the host application has stored."""
    payload: JsonValue
    version: str
    """The same for the same intent and payload; the value for `If-Match`."""
    replaces: str | None
    """The `version` of the intent that this one replaces."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            user_id=data["user_id"],
            voice_session_id=data["voice_session_id"],
            intent=data["intent"],
            payload=data["payload"],
            version=data["version"],
            replaces=data["replaces"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentExtracted:
    """The body of a delivery, a Standard Webhook: a conversation has a new intent."""

    type: Literal["intent.extracted"]
    timestamp: datetime
    """When the intent was set."""
    data: ExtractedIntent

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            type=data["type"],
            timestamp=datetime.fromisoformat(data["timestamp"]),
            data=ExtractedIntent.from_json(data["data"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedConversation:
    """The end that a delivery tells of, and the receipt of the voice session that ended last."""

    conversation_id: UUID
    voice_session_id: str | None
    """null: the conversation has no voice session."""
    end_reason: Literal["abandoned"] | None
    """`abandoned`: the service presumed the end, and it may go on. A phone's own reason is not told."""
    ended_at: datetime
    duration_seconds: int | None
    message_count: int
    receipt: Receipt | None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            voice_session_id=data["voice_session_id"],
            end_reason=data["end_reason"],
            ended_at=datetime.fromisoformat(data["ended_at"]),
            duration_seconds=data["duration_seconds"],
            message_count=data["message_count"],
            receipt=_optional(Receipt.from_json, data["receipt"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationEndedEvent:
    """The body of a delivery: a conversation has ended. If it goes on after that, its next end is told, too."""

    type: Literal["conversation.ended"]
    timestamp: datetime
    """When it ended."""
    data: EndedConversation

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            type=data["type"],
            timestamp=datetime.fromisoformat(data["timestamp"]),
            data=EndedConversation.from_json(data["data"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasedConversation:
    """The erasure that a delivery tells of."""

    conversation_id: UUID
    erased_at: datetime
    message_count: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            erased_at=datetime.fromisoformat(data["erased_at"]),
            message_count=data["message_count"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationErasedEvent:
    """The body of a delivery: a conversation was erased. Erase what you keep of it (GDPR, article 19)."""

    type: Literal["conversation.erased"]
    timestamp: datetime
    data: ErasedConversation

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            type=data["type"],
            timestamp=datetime.fromisoformat(data["timestamp"]),
            data=ErasedConversation.from_json(data["data"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedMessage:
    """The redaction that a delivery tells of."""

    conversation_id: UUID
    message_id: UUID
    sequence: int
    redacted_at: datetime

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            conversation_id=UUID(data["conversation_id"]),
            message_id=UUID(data["message_id"]),
            sequence=data["sequence"],
            redacted_at=datetime.fromisoformat(data["redacted_at"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRedactedEvent:
    """The body of a delivery: words were taken out of a message. Read the message again in place of what you keep."""

    type: Literal["message.redacted"]
    timestamp: datetime
    data: RedactedMessage

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return the model of a JSON object; raises KeyError, TypeError or ValueError if it is none."""
        return cls(
            type=data["type"],
            timestamp=datetime.fromisoformat(data["timestamp"]),
            data=RedactedMessage.from_json(data["data"]),
        )
