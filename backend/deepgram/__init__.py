"""Deepgram's Voice Agent API (version 1): how the service reads the events that a phone forwards.

events       the known event types and their fields
parse        one forwarded event: validation, repair, and the messages or details to store
to_messages  the messages that an event becomes
turns        the message to which a latency or an interruption belongs
tokens       short-lived Deepgram tokens for phones, so that the API key stays in the service
"""

from typing import Final

from backend.deepgram.parse import Event, read
from backend.deepgram.to_messages import FIRST_SPOT, Draft, drafts, session_of
from backend.deepgram.tokens import TokenClient
from backend.deepgram.turns import TimelineEntry, TurnEvent, enrichments

PROVIDER: Final = "deepgram"

__all__ = [
    "FIRST_SPOT",
    "PROVIDER",
    "Draft",
    "Event",
    "TimelineEntry",
    "TokenClient",
    "TurnEvent",
    "drafts",
    "enrichments",
    "read",
    "session_of",
]
