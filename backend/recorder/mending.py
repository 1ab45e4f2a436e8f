"""Making of what a pipeline hands over a message that the service takes, so that nothing beside the words costs them.

A role of ours and a text make a message. Whatever else cannot be sent as it is (a Decimal, a set, bytes, a key that is
no text, half an emoji, an integer beyond 2^53-1, a cycle, more than 16 KiB) is written as text, cut, or left out, and
`metadata.repaired` lists JSON pointers (RFC 6901) to what that happened to, as "/content" or "/metadata/price"; to all
of the metadata where the name of a field is long or cannot be printed. What JSON says as well (a UUID, a date, a tuple,
an enumeration, a dataclass) is written so and not listed.
"""

import dataclasses
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, date, datetime, time
from enum import Enum
from typing import Any, ClassVar, Final
from uuid import UUID

import orjson
from pydantic import BaseModel, JsonValue

from backend.ids import new_id
from backend.schemas.fields import LARGEST_NUMBER, METADATA_BYTES, METADATA_DEPTH
from backend.vocabulary import InputModality, Role

_ROLES: Final = frozenset(map(str, Role))
_MODALITIES: Final = frozenset(map(str, InputModality))
_VOICE: Final = str(InputModality.VOICE.value)
_REPAIRED: Final = "repaired"
_MOST_PARTS: Final = 5_000  # of one field of the metadata; more do not fit, and a cycle has no end
_MOST_PARTS_IN_ALL: Final = 20_000
_CHARACTERS_PER_PART: Final = 100
_CUT: Final = 2_000  # bytes that are left of a long value in metadata that are too large
_LONGEST_LABEL: Final = 255  # characters of a voice session's name
_LONGEST_NAME: Final = 64  # characters
_MOST_NAMES: Final = 16  # that are listed; the last stands for all further ones, if there are more
_METADATA: Final = "/metadata"
_SMALLEST: Final = 1e-15  # nearer to 0, PostgreSQL writes a number with more zeros than digits
_REPLACEMENT: Final = "\ufffd"


def fault_of(role: object, content: object) -> str | None:
    """Return why this can be no message, whatever hangs on it; None if it can."""
    if not (isinstance(role, str) and role in _ROLES):
        return "no such role"
    return None if isinstance(content, str) else "the content is no text"


def mend(message: dict[str, Any], at: float) -> None:
    """Make ``message``, which has a usable role and text, one that the service takes; ``at`` is when it was said."""
    names = [f"/{name}" for name, mender in _MENDERS.items() if mender(message)]
    if message["timestamp"] is None:
        message["timestamp"] = datetime.fromtimestamp(at, UTC)
    given = message["metadata"]
    message["metadata"] = {} if given is None and not names else _metadata({} if given is None else given, names)


def outline(message: Mapping[str, Any]) -> bytes:
    """Return ``message``, which can be none, as JSON for a person to look at."""
    return orjson.dumps({name: _Writing().value(value) for name, value in message.items()})


def storable(text: str) -> str:
    """Return ``text`` with U+FFFD for each character that PostgreSQL cannot store."""
    if "\0" not in text and (text.isascii() or _is_utf_8(text)):
        return text
    # Two halves of a character that stand next to each other are joined.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", _REPLACEMENT)


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# Each tells whether it has changed its field.


def _mend_id(message: dict[str, Any]) -> bool:
    given = message["id"]
    if isinstance(given, UUID):
        return False
    if isinstance(given, str):
        try:
            message["id"] = UUID(given)
        except ValueError:
            pass
        else:
            return False
    message["id"] = new_id()
    return given is not None


def _mend_content(message: dict[str, Any]) -> bool:
    given = message["content"]
    message["content"] = storable(given)
    return message["content"] is not given


def _mend_modality(message: dict[str, Any]) -> bool:
    given = message["input_modality"]
    if isinstance(given, str) and given in _MODALITIES:
        return False
    message["input_modality"] = _VOICE
    return True


def _mend_timestamp(message: dict[str, Any]) -> bool:
    given = message["timestamp"]
    if given is None or given == "":
        message["timestamp"] = None
        return False
    message["timestamp"] = _moment(given)
    return message["timestamp"] is None


def _mend_session(message: dict[str, Any]) -> bool:
    given = message["voice_session_id"]
    if given is None:
        return False
    mended = storable(given)[:_LONGEST_LABEL] if isinstance(given, str) else _as_text(given)[:_LONGEST_LABEL]
    message["voice_session_id"] = mended or None
    return bool(mended != given)


_MENDERS: Final = {
    "id": _mend_id,
    "content": _mend_content,
    "input_modality": _mend_modality,
    "timestamp": _mend_timestamp,
    "voice_session_id": _mend_session,
}


def _moment(given: object) -> str | None:
    """Return a time as RFC 3339 in UTC; None if it is none, or has no zone."""
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
        if isinstance(moment, datetime) and moment.utcoffset() is not None:
            return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        pass
    return None


def _metadata(given: object, names: list[str]) -> dict[str, JsonValue]:
    """Return what can be kept of the metadata, with the ``names`` of what was repaired and those added here."""
    kept: dict[str, JsonValue] = {}
    try:
        if not _keep_fields(given, kept, names):
            names.append(_METADATA)
    except Exception:  # noqa: BLE001 -- it asks the pipeline's objects, which may do anything
        names.append(_METADATA)
    _shrink(kept, names)
    return kept | _marks(kept, names)


def _keep_fields(given: object, kept: dict[str, JsonValue], names: list[str]) -> bool:
    """Add the fields of ``given`` to those that are ``kept``, and tell whether it is an object and all were looked at.

    The ``names`` of those that were changed are added, too.
    """
    if not isinstance(given, Mapping):
        return False
    parts = 0
    for name, value in given.items():
        if _is_plain(name) and _is_plain(value) and name not in kept:
            kept[str(name)] = value
            parts += 1
            continue
        writing = _Writing()
        key = writing.key(name, kept)
        try:
            kept[key] = writing.value(value)
        except Exception:  # noqa: BLE001 -- as above
            writing.changed = True
        if writing.changed:
            names.append(_pointer(key))
        parts += writing.parts
        if parts > _MOST_PARTS_IN_ALL:
            return False
    return True


def _is_plain(value: object) -> bool:
    """Tell at once, for what most metadata are, whether it may stay as it is."""
    kind = type(value)
    if kind is str:
        return len(value) <= _LONGEST_NAME and value.isascii() and "\0" not in value  # type: ignore[arg-type, attr-defined, operator]
    return kind is bool or (kind is int and -LARGEST_NUMBER <= value <= LARGEST_NUMBER)  # type: ignore[operator]


def _shrink(kept: dict[str, JsonValue], names: list[str]) -> None:
    """Cut the largest of the fields, and leave out those that do not fit even then."""
    if len(orjson.dumps(kept | _marks(kept, names))) <= METADATA_BYTES:
        return
    sizes = {name: _size(name, value) for name, value in kept.items()}
    room = METADATA_BYTES - 2 - sum(sizes.values())
    for may_cut in (True, False):
        for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
            marks = _marks(kept, names)
            if room >= (len(orjson.dumps(marks)) if marks else 0):
                return
            if may_cut and sizes[name] <= _CUT:
                break
            names.append(_pointer(name))
            room += sizes.pop(name)
            value = kept.pop(name)
            if may_cut:
                kept[name] = _cut(value)
                sizes[name] = _size(name, kept[name])
                room -= sizes[name]


def _marks(kept: Mapping[str, JsonValue], names: Sequence[str]) -> dict[str, JsonValue]:
    listed: list[JsonValue] = [*dict.fromkeys(names[: 4 * _MOST_NAMES])]
    if not listed:
        return {}
    before = kept.get(_REPAIRED, [])
    every = [*(before if isinstance(before, list) else [before]), *listed]
    return {_REPAIRED: every if len(every) <= _MOST_NAMES else [*every[: _MOST_NAMES - 1], _METADATA]}


def _pointer(name: str) -> str:
    pointer = f"{_METADATA}/{name.replace('~', '~0').replace('/', '~1')}"
    return pointer if len(pointer) <= _LONGEST_NAME and pointer.isascii() and pointer.isprintable() else _METADATA


def _size(name: str, value: JsonValue) -> int:
    """Return how many bytes a field adds to an object that is written as JSON, a comma included."""
    return len(orjson.dumps({name: value})) - 1


def _cut(value: JsonValue) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text.encode()[:_CUT].decode(errors="ignore")


class _Writing:
    """Writes one value as JSON. ``changed`` tells whether the result says less, or otherwise, than the value did."""

    def __init__(self) -> None:
        self.changed = False
        self.parts = 0

    def key(self, name: object, taken: Mapping[str, object]) -> str:
        """Return ``name`` as a name that is not ``taken``."""
        key = storable(name if isinstance(name, str) else _as_text(name))[:_LONGEST_NAME]
        while key in taken:
            key += "_"
        self.changed = self.changed or key != name
        return key

    def value(self, value: object, depth: int = 1) -> JsonValue:
        """Return ``value`` as JSON can say it and the service takes it; ``depth`` counts what it stands in."""
        self.parts += 1 + (len(value) // _CHARACTERS_PER_PART if isinstance(value, str | bytes) else 0)
        if value is None or isinstance(value, bool):
            return value
        if self.parts > _MOST_PARTS:
            return self._change(_as_text(value)[:_CUT] if isinstance(value, str) else None)
        write = next((write for kind, write in self._ways if isinstance(value, kind)), None)
        if write is not None:
            return write(self, value, depth)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._object({each.name: getattr(value, each.name, None) for each in fields(value)}, depth)
        return self._change(_as_text(value))

    def _enum(self, value: Enum, depth: int) -> JsonValue:
        return self.value(value.value, depth)

    def _text(self, value: str, _depth: int) -> JsonValue:
        return self._same(storable(value), value)

    def _number(self, value: Any, _depth: int) -> JsonValue:
        number = int(value) if isinstance(value, numbers.Integral) else float(value)
        if not abs(number) <= LARGEST_NUMBER or 0 < abs(number) < _SMALLEST:  # NaN is never less
            return self._change(_as_text(value))
        return self._same(number, value)

    def _uuid(self, value: UUID, _depth: int) -> JsonValue:
        return str(value)

    def _moment(self, value: date | time, _depth: int) -> JsonValue:
        return value.isoformat()

    def _bytes(self, value: bytes | bytearray, _depth: int) -> JsonValue:
        return self._change(storable(value.decode(errors="replace")))

    def _array(self, value: Iterable[object], depth: int) -> JsonValue:
        if depth >= METADATA_DEPTH:
            return self._change(None)
        return [self.value(part, depth + 1) for part in value]

    def _set(self, value: Iterable[object], depth: int) -> JsonValue:
        return self._change(self._array(value, depth))

    def _model(self, value: BaseModel, depth: int) -> JsonValue:
        return self._change(self._object(dict(value), depth))

    def _object(self, value: Mapping[Any, object], depth: int) -> JsonValue:
        if depth >= METADATA_DEPTH:
            return self._change(None)
        written: dict[str, JsonValue] = {}
        for name, part in value.items():
            if self.parts > _MOST_PARTS:
                self.changed = True
                break
            written[self.key(name, written)] = self.value(part, depth + 1)
        return written

    def _same(self, written: JsonValue, value: object) -> JsonValue:
        self.changed = self.changed or written != value
        return written

    def _change(self, written: JsonValue) -> JsonValue:
        self.changed = True
        return written

    _ways: ClassVar[tuple[tuple[type | tuple[type, ...], Callable[["_Writing", Any, int], JsonValue]], ...]] = (
        (Enum, _enum),
        (str, _text),
        ((int, float), _number),
        (Mapping, _object),
        ((list, tuple), _array),
        (UUID, _uuid),
        ((date, time), _moment),
        ((set, frozenset), _set),
        ((bytes, bytearray), _bytes),
        (BaseModel, _model),
        (numbers.Real, _number),
    )


def _as_text(value: object) -> str:
    try:
        return storable(str(value))
    except Exception:  # noqa: BLE001 -- it runs what the pipeline's objects do, which may be anything
        return f"<{type(value).__name__}>"
