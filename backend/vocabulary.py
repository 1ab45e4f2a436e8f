"""The closed sets of words of the API and the database. A test compares them with the database's CHECK constraints.

Those that a recorder needs, too, are in `verbatim_record.vocabulary`.
"""

from enum import StrEnum
from typing import Final

# The largest values of PostgreSQL's types integer and bigint.
LARGEST_INT: Final = 2**31 - 1
LARGEST_BIGINT: Final = 2**63 - 1

# The problems on which `verbatim replay` acts; `api.problems` describes these and all others.
CONVERSATION_ID_REUSED: Final = "conversation-id-reused"
BODY_TOO_LARGE: Final = "body-too-large"

# The ``end_reason`` of a voice session that the service has ended after its timeout (`session_timeout`).
ABANDONED: Final = "abandoned"
# The types of a voice session's events that are incidents, whose text is kept. As `IN {INCIDENTS}` it is SQL, too.
INCIDENTS: Final = ("Error", "Warning", "InjectionRefused", "FrustrationDetected")
HISTORY: Final = "History"  # the type of an event that repeats what was said before
# The values of `metadata.behavior` ("uh-huh") with which a message begins no turn and interrupts none; likewise SQL.
ASIDES: Final = ("backchannel", "filler")
# The type of a delivery that tells of an intent.
INTENT_EXTRACTED: Final = "intent.extracted"
# The key in the metadata of a message from which words were taken out.
REDACTED: Final = "redacted"
REDACTED_DETAIL: Final = {REDACTED: True}  # of an incident whose text was taken out
# The names of latencies in `metadata.latency`, in milliseconds, from every source.
LATENCIES: Final = ("total_ms", "stt_ms", "llm_ms", "tts_ms")
# 150 words a minute, the rate of English conversation that the National Center for Voice and Speech names, of five
# letters and a space each. It estimates how long a text takes to say.
CHARACTERS_PER_SECOND: Final = 15


class ContextType(StrEnum):
    """The subject matter of a conversation."""

    ONBOARDING = "onboarding"
    GOAL = "goal"
    TASK = "task"
    RESCHEDULE = "reschedule"
    VOICE = "voice"


class Intent(StrEnum):
    """What the person wants done, as the assistant understood it."""

    GOAL = "GOAL"
    NEW_TASK = "NEW_TASK"
    RESCHEDULE_TASK = "RESCHEDULE_TASK"


class Enrichment(StrEnum):
    """What a voice session adds to the metadata of a message afterwards; nothing else of a message ever changes."""

    LATENCY = "latency"
    INTERRUPTED = "interrupted"


class CallState(StrEnum):
    """Whether a conversation goes on. `abandoned`: the service presumed its end, because its phone sent nothing."""

    LIVE = "live"
    ENDED = "ended"
    ABANDONED = "abandoned"


class Source(StrEnum):
    """What recorded a message, by its `metadata.provider`; `posts` is every program that names none of the others."""

    DEEPGRAM = "deepgram"
    PIPECAT = "pipecat"
    LIVEKIT = "livekit"
    POSTS = "posts"


class Lane(StrEnum):
    """The row of a timeline in which a segment is drawn."""

    USER = "user"
    ASSISTANT = "assistant"
    FUNCTION = "function"
    CONNECTION = "connection"
    INCIDENT = "incident"


class SegmentKind(StrEnum):
    """What a segment of a timeline shows."""

    SPEECH = "speech"
    BACKCHANNEL = "backchannel"
    TEXT = "text"
    WORDLESS = "wordless"
    INTERRUPTION = "interruption"
    SILENCE = "silence"
    CALL = "call"
    FAILED_CALL = "failed_call"
    CANCELLED_CALL = "cancelled_call"
    SESSION = "session"
    RECONNECT = "reconnect"
    ERROR = "error"
    WARNING = "warning"
    REFUSED_INJECTION = "refused_injection"
    FRUSTRATION = "frustration"
    REPAIRED = "repaired"
    LATE = "late"
    CLIENT_LOST = "client_lost"


class DeliveryState(StrEnum):
    """The state of a delivery to the orchestrator; `held` since it has answered 410 to a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    HELD = "held"


class AuditAction(StrEnum):
    """What the audit tells of."""

    CONVERSATION_ERASED = "conversation.erased"
    MESSAGE_REDACTED = "message.redacted"
    CONVERSATION_HELD = "conversation.held"
    CONVERSATION_RELEASED = "conversation.released"
    RETENTION_ANNOUNCED = "retention.announced"
    RETENTION_RAN = "retention.ran"
    SUBJECT_EXPORTED = "subject.exported"
    TOKEN_CREATED = "token.created"  # noqa: S105 -- no token
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 -- no token
    DATABASE_ADOPTED = "database.adopted"


class Announcement(StrEnum):
    """What the orchestrator is told of beside intents, if the operator wants it."""

    CONVERSATION_ENDED = "conversation.ended"
    CONVERSATION_ERASED = "conversation.erased"
    MESSAGE_REDACTED = "message.redacted"


class Scope(StrEnum):
    """What a token allows. A scope with `:any` allows it for the conversations of all owners, not only the caller's."""

    MESSAGES_WRITE = "messages:write"
    MESSAGES_WRITE_ANY = "messages:write:any"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_READ_ANY = "conversations:read:any"
    CONVERSATIONS_WRITE = "conversations:write"
    CONVERSATIONS_WRITE_ANY = "conversations:write:any"
    CONVERSATIONS_ERASE = "conversations:erase"
    CONVERSATIONS_REDACT = "conversations:redact"
    INTENTS_WRITE = "intents:write"
    DELIVERIES_MANAGE = "deliveries:manage"
    GOVERNANCE_MANAGE = "governance:manage"
