"""Repair of a pipeline's messages, so that the service accepts every message with a valid role and a text.

Any other value that the service would refuse is repaired (`verbatim_record.repair`), and `metadata.repaired` names it.
A text that is longer than a message may be continues in further messages.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

import orjson

from verbatim_record.ids import new_id
from verbatim_record.message_limits import CONTENT_BYTES, METADATA_BYTES, JsonObject
from verbatim_record.repair import Repairs, label, parts, repaired_object, repaired_text
from verbatim_record.vocabulary import InputModality, Repaired, Role

ROLES: Final = frozenset(map(str, Role))
_MODALITIES: Final = frozenset(map(str, InputModality))
VOICE: Final = str(InputModality.VOICE.value)  # orjson encodes a plain string faster than an enum member
_MOST_JSON: Final = 2 * 2**20  # bytes of a text as JSON, half of the service's limit for a request
# orjson then writes only what it writes as `repaired_metadata` would.
_PLAIN_ONLY: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
)
_LONGEST_ESCAPE: Final = 6  # bytes of a control character in JSON


def fault_of(role: object, content: object) -> str | None:
    """Return why ``role`` and ``content`` cannot make a message, or None if they can."""
    if not (isinstance(role, str) and role in ROLES):
        return "the role is unknown"
    return None if isinstance(content, str) else "the content is not text"


def repair_message(message: Mapping[str, Any], at: float) -> list[dict[str, Any]]:
    """Return the messages to send for ``message``, which has a valid role and text: one, or more for a long text.

    ``at`` is when it was said, in seconds since 1970.
    """
    repairs = Repairs()
    identity = _identity(message["id"], repairs)
    repaired = {
        **message,
        "input_modality": _modality(message["input_modality"], repairs),
        "timestamp": _moment(message["timestamp"], repairs) or datetime.fromtimestamp(at, UTC),
        "voice_session_id": _session(message["voice_session_id"], repairs),
    }
    found = _parts(message["content"], message["metadata"], repairs)
    return [
        {**repaired, "id": uuid5(identity, str(place)) if place else identity, "content": text, "metadata": metadata}
        for place, (text, metadata) in enumerate(found)
    ]


def snapshot_of(metadata: object) -> bytes | None:
    """Return ``metadata`` as JSON if it is certain that `encoded` can repair it as well as the original, else None."""
    if type(metadata) is not dict:
        return None
    try:
        written = orjson.dumps(metadata, option=_PLAIN_ONLY)
    except TypeError:
        return None
    return None if b"null" in written or len(written) > METADATA_BYTES else written  # orjson writes NaN as null


def encoded(message: dict[str, Any], metadata: bytes, at: float) -> bytes:
    """Return the JSON of ``message``, which is usual, with ``metadata`` from `snapshot_of`, empty without any."""
    [repaired] = repair_message({**message, "metadata": orjson.loads(metadata) if metadata else None}, at)
    return encode(repaired)


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a repaired message as JSON."""
    return bytes(memoryview(orjson.dumps(message)))  # a copy, because orjson allocates at least 4 KiB for each result


def outline(message: Mapping[str, Any]) -> bytes:
    """Return ``message``, which was rejected, as JSON for an operator to look at."""
    return orjson.dumps(repaired_object(message, Repairs(), place=""))


def _parts(content: str, metadata: Any, repairs: Repairs) -> list[tuple[str, JsonObject]]:
    text = repaired_text(content, Repaired.CONTENT, repairs)
    is_short = len(text) * _LONGEST_ESCAPE <= _MOST_JSON or len(orjson.dumps(text)) <= _MOST_JSON
    most = CONTENT_BYTES if is_short else CONTENT_BYTES // 4
    if metadata is None:
        metadata = {}
    try:
        if isinstance(metadata, Mapping):
            return parts(text, dict(metadata), repairs, most)
    except Exception:  # noqa: BLE001, S110 -- it calls methods of the pipeline's objects, which may raise anything
        pass
    repairs.note(Repaired.METADATA)
    return parts(text, {}, repairs, most)


def _identity(given: object, repairs: Repairs) -> UUID:
    if isinstance(given, UUID):
        return given
    try:
        if isinstance(given, str):
            return UUID(given)
    except ValueError:
        pass
    if given is not None:
        repairs.note("/id")
    return new_id()


def _session(given: object, repairs: Repairs) -> str | None:
    return None if given is None else label(given, "/voice_session_id", repairs)


def _modality(given: object, repairs: Repairs) -> str:
    if isinstance(given, str) and given in _MODALITIES:
        return given
    repairs.note("/input_modality")
    return VOICE


def _moment(given: object, repairs: Repairs) -> str | None:
    """Return a time as RFC 3339 in UTC; None if it is missing, unreadable or without a zone."""
    if given is None or given == "":
        return None
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
        if isinstance(moment, datetime) and moment.utcoffset() is not None:
            return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        pass
    repairs.note(Repaired.TIMESTAMP)
    return None
