"""An event as a phone forwards it: mended, checked, and what it means to the record.

What Deepgram heard is somebody else's text, and the phone that forwards it cannot mend it. So characters that
PostgreSQL cannot store become U+FFFD here, and the message says so, where a sender of its own words would be refused.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import JsonValue, TypeAdapter, ValidationError

from backend.deepgram.drafts import Draft, drafts, session_of
from backend.deepgram.forms import KNOWN, Form, Part, PastCalls, PastText, form_of
from backend.errors import Fault, Invalid
from backend.schemas.fields import JsonObject, Metadata
from backend.schemas.parsing import fault_of, parse_item
from backend.schemas.voice_session import VoiceEventCreate

UNKNOWN: Final = "unknown"
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"
_DEEPEST: Final = 150  # what is deeper is refused
# What else is kept of an event that is no message. The others may hold prompts and keys, and say nothing of the call.
_KEPT: Final = {
    "Welcome",
    "Error",
    "Warning",
    "InjectionRefused",
    "FrustrationDetected",
    "AgentStartedSpeaking",
    "LatencyReport",
}
_METADATA: Final = TypeAdapter[JsonObject](Metadata)


@dataclass(frozen=True, slots=True)
class Event:
    """A checked event: the messages that stand for it, or, if none do, the ``detail`` to keep of it.

    ``connection`` is Deepgram's name for the one that begins with it.
    """

    type: str
    id: UUID | None
    client_sequence: int | None
    received_at: datetime | None
    messages: list[Draft]
    detail: JsonObject | None
    connection: str | None
    unknown_fields: int

    @property
    def known_type(self) -> str:
        """Its type if that is one of Deepgram's, else a word for all others."""
        return self.type if self.type in KNOWN else UNKNOWN


def read(item: JsonValue) -> Event:
    """Return one of the ``events`` that a phone sent; raises Invalid with pointers into it."""
    mended, changed = _mend(item)
    sent = parse_item(VoiceEventCreate, mended)
    event = sent.event
    form = _check(event)
    messages = drafts(event)
    for message in messages:
        if changed:
            message["metadata"] = {**_object(message["metadata"]), "repaired": True}
        _storable(message["metadata"])
    return Event(
        type=form.type,
        id=sent.id,
        client_sequence=sent.client_sequence,
        received_at=sent.received_at,
        messages=messages,
        detail=_detail(event, form),
        connection=session_of(event),
        unknown_fields=_count_unknown(form),
    )


def _mend(value: JsonValue, depth: int = 0) -> tuple[JsonValue, bool]:
    """Return ``value`` with its texts made storable, and whether any was not."""
    match value:
        case str():
            mended, count = _UNSTORABLE.subn(_REPLACEMENT, value)
            return mended, count > 0
        case list() if depth < _DEEPEST:
            parts = [_mend(part, depth + 1) for part in value]
            return [part for part, _ in parts], any(changed for _, changed in parts)
        case dict() if depth < _DEEPEST:
            pairs = [(_mend(name, depth + 1), _mend(part, depth + 1)) for name, part in value.items()]
            return {str(name): part for (name, _), (part, _) in pairs}, any(a or b for (_, a), (_, b) in pairs)
    return value, False


def _check(event: JsonObject) -> Form:
    try:
        return form_of(event).model_validate(event)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise Invalid([fault_of(details) for details in found]).below("/event") from None


def _storable(value: JsonValue) -> None:
    try:
        _METADATA.validate_python(value)
    except ValidationError as error:
        [details] = error.errors(include_url=False, include_input=False, include_context=False)
        raise Invalid([Fault("/event", fault_of(details).detail)]) from None


def _detail(event: JsonObject, form: Form) -> JsonObject | None:
    match form:
        case PastText():
            return {"role": form.role, "sha256": hashlib.sha256(form.content.encode()).hexdigest()}
        case PastCalls():
            return {"call_ids": [call.id for call in form.function_calls]}
    if form.type not in _KEPT:
        return None
    detail = {name: value for name, value in event.items() if name != "type"}
    _storable(detail)
    return detail


def _count_unknown(form: Form) -> int:
    inner = [part for value in form.__dict__.values() if isinstance(value, list) for part in value]
    parts = [form, *(part for part in inner if isinstance(part, Part))]
    return sum(len(part.model_extra or {}) for part in parts) if form.type in KNOWN else 0


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}
