"""Deepgram's Voice Agent (version 1), in the words of the record.

forms      what its events hold
drafts     the messages that stand for an event
reading    an event as a phone forwards it: mended, and what it means
turns      what latencies and interruptions say of which message
grants     tokens for phones, so that the key stays here
"""

from typing import Final

from backend.deepgram.drafts import FIRST, Draft, drafts, session_of
from backend.deepgram.grants import Grants
from backend.deepgram.reading import Event, read
from backend.deepgram.turns import Moment, Telling, enrichments

PROVIDER: Final = "deepgram"

__all__ = [
    "FIRST",
    "PROVIDER",
    "Draft",
    "Event",
    "Grants",
    "Moment",
    "Telling",
    "drafts",
    "enrichments",
    "read",
    "session_of",
]
