"""The words of a message and of the service's answers that a client and the service share."""

from enum import StrEnum
from typing import Final

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"  # RFC 9457
# The problems on which the recorder acts; the service describes these and all others.
ROLE_NOT_ALLOWED: Final = "role-not-allowed"
CONVERSATION_ERASED: Final = "conversation-erased"


class Role(StrEnum):
    """The role of a message's speaker. Deepgram's events have only `user` and `assistant`."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    FUNCTION = "function"


class InputModality(StrEnum):
    """How a message reached the assistant: spoken or typed."""

    VOICE = "voice"
    TEXT = "text"


class Repaired(StrEnum):
    """JSON pointers to the fields of a message that were repaired; listed in its metadata under `REPAIRED`."""

    CONTENT = "/content"
    TIMESTAMP = "/timestamp"
    METADATA = "/metadata"


REPAIRED: Final = "repaired"  # the key in the metadata
