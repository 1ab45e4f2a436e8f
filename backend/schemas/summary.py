"""The summary of a conversation, which the list and the conversation itself contain on request."""

from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.vocabulary import CallState

SUMMARY_EXAMPLE: Final[dict[str, JsonValue]] = {
    "state": "ended",
    "turns": 14,
    "interruptions": 1,
    "functions": 2,
    "incidents": 0,
    "latency_ms": {"p50": 780.0, "p95": 1410.0, "max": 1620.0, "count": 7},
    "first_words": "Could you move the dentist to Thursday?",
    "receipts": {"complete": True, "missing": 0},
}


class Included(StrEnum):
    """What an answer contains on request."""

    SUMMARY = "summary"


class CallLatency(BaseModel):
    """The total latencies of a call's answers in milliseconds; null without an answer whose latency is known."""

    p50: float | None
    p95: float | None
    max: float | None
    count: int = Field(description="The number of answers whose latency is known.")


class ReceiptSummary(BaseModel):
    """What the receipts of a conversation's voice sessions say together."""

    complete: bool = Field(description="Whether every receipt is complete.")
    missing: int = Field(description="The number of events that the phone numbered or gave up, and that are missing.")


class Summary(BaseModel):
    """What happened in a conversation, in figures; `docs/figures.md` defines each."""

    model_config = ConfigDict(json_schema_extra={"examples": [SUMMARY_EXAMPLE]})

    state: CallState
    turns: int
    interruptions: int
    functions: int = Field(description="The number of function calls.")
    incidents: int
    latency_ms: CallLatency
    first_words: str | None = Field(
        description="The first 100 characters of the user's first message, if that is one of the first 20 messages."
    )
    receipts: ReceiptSummary | None = Field(description="`null` for a conversation without voice sessions.")
