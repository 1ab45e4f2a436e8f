"""Deepgram's Voice Agent (version 1), in the words of the record.

events       the fields of Deepgram's events
parse        an event as a phone forwards it: repaired, and what it means
to_messages  the messages that stand for an event
turns        which message a latency or an interruption belongs to
tokens       short-lived tokens for phones, so that the API key stays in the service
"""

from typing import Final

from backend.deepgram.parse import Event, read
from backend.deepgram.to_messages import FIRST, Draft, drafts, session_of
from backend.deepgram.tokens import TokenClient
from backend.deepgram.turns import Moment, Telling, enrichments

PROVIDER: Final = "deepgram"

__all__ = [
    "FIRST",
    "PROVIDER",
    "Draft",
    "Event",
    "Moment",
    "Telling",
    "TokenClient",
    "drafts",
    "enrichments",
    "read",
    "session_of",
]
