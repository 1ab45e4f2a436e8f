"""The closed sets of words. The database checks the same ones, and a test asks it whether it agrees."""

from enum import StrEnum
from typing import Final

# The largest values of PostgreSQL's types integer and bigint.
LARGEST_INT: Final = 2**31 - 1
LARGEST_BIGINT: Final = 2**63 - 1

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"  # RFC 9457
# The problems on which the recorder and `verbatim replay` act; `api.problems` describes these and all others.
ROLE_NOT_ALLOWED: Final = "role-not-allowed"
CONVERSATION_ERASED: Final = "conversation-erased"
CONVERSATION_ID_REUSED: Final = "conversation-id-reused"
BODY_TOO_LARGE: Final = "body-too-large"

# The ``end_reason`` of a voice session whose end the service has presumed.
ABANDONED: Final = "abandoned"


class Role(StrEnum):
    """Who speaks. Deepgram's wire knows only the first two."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    FUNCTION = "function"


class InputModality(StrEnum):
    """How it reached the assistant."""

    VOICE = "voice"
    TEXT = "text"


class ContextType(StrEnum):
    """What a conversation is about."""

    ONBOARDING = "onboarding"
    GOAL = "goal"
    TASK = "task"
    RESCHEDULE = "reschedule"
    VOICE = "voice"


class Intent(StrEnum):
    """What the assistant understood that the person wants done."""

    GOAL = "GOAL"
    NEW_TASK = "NEW_TASK"
    RESCHEDULE_TASK = "RESCHEDULE_TASK"


class Enrichment(StrEnum):
    """What a voice session adds to the metadata of a message afterwards; nothing else of a message ever changes."""

    LATENCY = "latency"
    INTERRUPTED = "interrupted"


class Repaired(StrEnum):
    """JSON pointers into a message to what the record repaired; such pointers stand in its metadata (`REPAIRED`)."""

    CONTENT = "/content"
    TIMESTAMP = "/timestamp"
    METADATA = "/metadata"


REPAIRED: Final = "repaired"  # the key in the metadata


class DeliveryState(StrEnum):
    """What became of something that the orchestrator is to be told."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    HELD = "held"


class Scope(StrEnum):
    """What a token lets its bearer do. `…:any` does the same to everybody's conversations, not only to the bearer's."""

    MESSAGES_WRITE = "messages:write"
    MESSAGES_WRITE_ANY = "messages:write:any"
    CONVERSATIONS_READ = "conversations:read"
    CONVERSATIONS_READ_ANY = "conversations:read:any"
    CONVERSATIONS_WRITE = "conversations:write"
    CONVERSATIONS_WRITE_ANY = "conversations:write:any"
    CONVERSATIONS_ERASE = "conversations:erase"
    INTENTS_WRITE = "intents:write"
    DELIVERIES_MANAGE = "deliveries:manage"
