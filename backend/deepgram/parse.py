"""Reading one event that a phone forwards from Deepgram: what to store of it.

Deepgram chose the fields, and the phone cannot correct them. So an event with a usable role and text becomes a message
whatever else it holds, and any other event is counted whatever it holds. Values that cannot be stored are repaired
(`verbatim_record.repair`), and the message names them in `metadata.repaired`. The service refuses an event only if it
has no type, or if its type stands for a message and it has no usable role or text.
"""

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import JsonValue

from backend.deepgram.events import KNOWN, count_unknown
from backend.deepgram.to_messages import Draft, drafts, session_of
from backend.errors import Fault, Invalid
from backend.schemas.fields import JsonObject, clock_time, plausible
from backend.vocabulary import LARGEST_INT
from verbatim_record.repair import Repairs, as_text, label, repaired_metadata, storable
from verbatim_record.vocabulary import Repaired

UNKNOWN: Final = "unknown"
MOST_FUNCTIONS: Final = 1_000  # per event; each becomes a message
_LONGEST_TYPE: Final = 100  # characters
_LONGEST_DURATION: Final = 1e6  # seconds
_MOST_CALLS: Final = 64  # function calls of a History event whose ids are kept
_ENVELOPE: Final = frozenset({"event", "id", "client_sequence", "received_at"})
# Event types whose fields are stored although they are not messages. Other types may hold prompts and API keys.
_LATENCIES: Final = {"AgentStartedSpeaking", "LatencyReport"}
_KEPT: Final = {"Welcome", "Error", "Warning", "InjectionRefused", "FrustrationDetected", *_LATENCIES}


@dataclass(frozen=True, slots=True)
class Event:
    """A valid event: the messages that it becomes or, without one, the ``detail`` to store.

    ``id`` is the id that the phone gave it. If the phone gave an unusable id or number, ``key`` is a text made of it,
    from which the service derives an id. ``connection`` is Deepgram's id of the connection that the event begins.
    """

    type: str
    id: UUID | None
    key: str | None
    client_sequence: int | None
    received_at: datetime | None
    messages: list[Draft]
    detail: JsonObject | None
    connection: str | None
    unknown_fields: int

    @property
    def known_type(self) -> str:
        """The event's type if Deepgram documents it, else "unknown", so that metrics have a bounded set of labels."""
        return self.type if self.type in KNOWN else UNKNOWN


def read(item: JsonValue) -> Event:
    """Return one item of the phone's array ``events``; raises Invalid with JSON pointers into the item."""
    if not isinstance(item, dict):
        raise Invalid([Fault("", "must be an object")])
    event = item.get("event")
    if not isinstance(event, dict):
        raise Invalid([Fault("/event", "must be an object" if "event" in item else "is required")])
    kind = _type(event)
    repairs = Repairs()
    envelope = _envelope(item, repairs)
    return Event(
        type=kind,
        id=envelope.id,
        key=envelope.key,
        client_sequence=envelope.client_sequence,
        received_at=envelope.received_at,
        messages=_messages(event, repairs),
        detail=_detail(event, kind),
        connection=session_of(event),
        unknown_fields=count_unknown(event),
    )


def _type(event: JsonObject) -> str:
    kind = event.get("type")
    if not isinstance(kind, str) or not 0 < len(kind) <= _LONGEST_TYPE:
        raise Invalid([Fault("/event/type", f"must be a text of 1 to {_LONGEST_TYPE} characters")])
    return storable(kind)


class _Envelope(NamedTuple):
    """The fields that the phone adds to an event: id, number and time of reception."""

    id: UUID | None
    key: str | None
    client_sequence: int | None
    received_at: datetime | None


def _envelope(item: JsonObject, repairs: Repairs) -> _Envelope:
    """Return the phone's own fields of ``item``, and note in ``repairs`` those that are unusable."""
    count, identity, time = (item.get(name) for name in ("client_sequence", "id", "received_at"))
    number, uuid, received_at = _number(count), _uuid(identity), _time(time)
    key = None
    if count is not None and (number is None or type(count) is not int):
        repairs.note("/client_sequence")
        key = None if number else _stand_in_key("client_sequence", count)
    if identity is not None and uuid is None:
        repairs.note("/id")
        # With the number beside it: an id such as "" or 0, which is the same in each event, must not refuse the others.
        beside = key if number is None else str(number)
        key = ":".join(each for each in (_stand_in_key("id", identity), beside) if each) or None
    if time is not None and received_at is None:
        repairs.note(Repaired.TIMESTAMP)
    for name in item.keys() - _ENVELOPE:
        repairs.note(f"/{name}")
    return _Envelope(uuid, None if uuid else key, number, received_at)


def _stand_in_key(name: str, value: JsonValue) -> str | None:
    """Return a text that identifies the unusable ``value`` of the field ``name``, or None if it identifies nothing."""
    if isinstance(value, float) and not math.isfinite(value):  # all numbers with too many digits become infinite
        return None
    return storable(f"{name}:{as_text(value)}")


def _number(value: JsonValue) -> int | None:
    """Return the phone's number, also if it is a text or has a decimal point; None unless it is 1 to 2^31 - 1."""
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdecimal() and len(value) < len(str(LARGEST_INT)) + 1 else 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= LARGEST_INT:
        return None
    return int(value) if value == int(value) else None


def _uuid(value: JsonValue) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _time(value: JsonValue) -> datetime | None:
    moment = clock_time(value)
    return moment if moment is not None and plausible(moment) else None


def _messages(event: JsonObject, repairs: Repairs) -> list[Draft]:
    """Return the usable messages of ``event``; raises Invalid if none of several is usable, or there are too many."""
    functions = event.get("functions")
    if isinstance(functions, list) and len(functions) > MOST_FUNCTIONS and drafts({**event, "functions": [{}]}):
        raise Invalid([Fault("/event/functions", f"must be an array of at most {MOST_FUNCTIONS} functions")])
    found = drafts(event, repairs=repairs)
    faults = [draft.fault for draft in found if draft.fault is not None]
    if not faults:
        return found
    if len(faults) == len(found):
        raise Invalid([_fault(event, fault) for fault in faults])
    for fault in faults:
        repairs.note(fault)
    return [draft for draft in drafts(event, repairs=repairs) if draft.fault is None]


def _fault(event: JsonObject, pointer: str) -> Fault:
    if pointer == "/role":
        return Fault("/event/role", "must be 'user' or 'assistant'" if "role" in event else "is required")
    return Fault(f"/event{pointer}", "must be an object" if pointer.startswith("/functions") else "must be a text")


def _detail(event: JsonObject, kind: str) -> JsonObject | None:
    repairs = Repairs()
    if kind == "History":
        return _history_digest(event, repairs)
    if kind not in _KEPT:
        return None
    detail = {name: value for name, value in event.items() if name != "type"}
    if kind in _LATENCIES:
        detail = {name: _seconds(value, f"/{name}", repairs) for name, value in detail.items()}
    return repaired_metadata(detail, repairs, place="")


def _history_digest(event: JsonObject, repairs: Repairs) -> JsonObject | None:
    """Return what identifies a History entry in the record: call ids, or role and SHA-256 of the text, not the text."""
    calls, content, role = (event.get(name) for name in ("function_calls", "content", "role"))
    if isinstance(calls, list):
        ids = [call.get("id") for call in calls[:_MOST_CALLS] if isinstance(call, dict)]
        return {"call_ids": [label(each, "/call_ids", repairs) for each in ids if each is not None]}
    if isinstance(content, str) and role in ("user", "assistant"):
        return {"role": role, "sha256": hashlib.sha256(storable(content).encode()).hexdigest()}
    return None


def _seconds(value: JsonValue, place: str, repairs: Repairs) -> JsonValue:
    """Return a latency in seconds; a boolean, or a number beyond 10^6, becomes text."""
    if isinstance(value, bool) or (isinstance(value, int | float) and not abs(value) <= _LONGEST_DURATION):
        repairs.note(place)
        return as_text(value)
    return value
