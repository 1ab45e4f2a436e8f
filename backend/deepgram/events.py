"""The names of the fields of each event type of Deepgram's Voice Agent v1 (`schemas.deepgram_event`).

Deepgram adds fields and types without a new version, so the service requires none of them. It interprets the fields
that it knows, and stores unknown ones unchanged wherever it stores the event.
"""

from collections.abc import Iterator
from typing import Final, get_args

from pydantic import BaseModel, JsonValue

from backend.schemas.deepgram_event import (
    DeepgramCall,
    DeepgramCancelledCall,
    DeepgramEvent,
    DeepgramPastCall,
    OtherDeepgramEvent,
)

CALL: Final = frozenset(DeepgramCall.model_fields)
CANCELLED_CALL: Final = frozenset(DeepgramCancelledCall.model_fields)
PAST_CALL: Final = frozenset(DeepgramPastCall.model_fields)
_PARTS: Final = {
    "FunctionCallRequest": ("functions", CALL),
    "FunctionCallCancelled": ("functions", CANCELLED_CALL),
    "History": ("function_calls", PAST_CALL),
}


def _fields() -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each type that Deepgram documents, and the names of its fields."""
    model: type[BaseModel]
    for model in get_args(DeepgramEvent.model_fields["root"].annotation):
        if model is not OtherDeepgramEvent:
            for kind in get_args(model.model_fields["type"].annotation):
                yield kind, frozenset(model.model_fields)


FIELDS: Final = dict(_fields())
KNOWN: Final = frozenset(FIELDS)


def unknown(fields: dict[str, JsonValue], known: frozenset[str]) -> dict[str, JsonValue]:
    """Return the subset of ``fields`` whose names are not in ``known``."""
    return {name: value for name, value in fields.items() if name not in known}


def count_unknown(event: dict[str, JsonValue]) -> int:
    """Return the number of unknown fields in ``event`` and in its functions; 0 for an event of unknown type."""
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in FIELDS:
        return 0
    count = len(unknown(event, FIELDS[kind]))
    if kind in _PARTS:
        name, known = _PARTS[kind]
        parts = event.get(name)
        if isinstance(parts, list):
            count += sum(len(unknown(part, known)) for part in parts if isinstance(part, dict))
    return count
