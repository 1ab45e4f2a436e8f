"""Repair of values that a provider, a phone or a framework sends and that cannot be stored, with a list of the repairs.

The senders of these messages cannot correct them: Deepgram chose the fields of an event, and a voice pipeline those of
a turn. So a value that cannot be stored never loses the message. In text each character that PostgreSQL cannot store
becomes U+FFFD. Metadata is cut, turned into text, or left out. `metadata.repaired` then lists JSON pointers (RFC 6901)
into the message, such as "/content", "/timestamp" or "/metadata/call_id".

Three callers use these functions: the events of a voice session, `verbatim replay`, and the recorder.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from datetime import date, time
from enum import Enum
from numbers import Real
from typing import Any, Final, TypeVar
from uuid import UUID

from verbatim_record.message_limits import (
    CONTENT_BYTES,
    LARGEST_NUMBER,
    METADATA_BYTES,
    METADATA_DEPTH,
    JsonObject,
    JsonValue,
    stored_bytes,
)
from verbatim_record.vocabulary import REPAIRED, Repaired

EXTRA: Final = "extra"  # the key in the metadata under which unknown fields stand; they are cut before the known ones
PART: Final = "part"  # the key in the metadata that tells which part of a long text a message is
LABEL_LENGTH: Final = 255  # characters of a name or an id

_MOST_NAMES: Final = 16
_LONGEST_NAME: Final = 64  # ASCII characters of a pointer; a longer one is replaced by that of its container
_STEPS: Final = 5  # the most slashes of a pointer plus one; a deeper one is replaced by that of its container
_NAMES_BYTES: Final = 2_304  # bytes of the longest list of names, with every character escaped
_MOST_VALUES: Final = 10_000  # values that are examined; 16 KiB of metadata hold at most 8,192
_SMALL: Final = 256  # bytes; a smaller value is not cut while there is a larger one
_FEW: Final = 16  # fields; with names and texts of `_SMALL` bytes they always fit
EXCERPT: Final = 1_000  # characters of a container that becomes text because it is nested too deeply
UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")  # characters that PostgreSQL cannot store
_REPLACEMENT: Final = "\ufffd"

T = TypeVar("T")


class Repairs:
    """The JSON pointers to the repaired values of one message, in order, each once."""

    def __init__(self, names: Mapping[str, None] | None = None) -> None:
        self._names: dict[str, None] = dict(names or {})

    def __bool__(self) -> bool:
        """Return whether anything was repaired."""
        return bool(self._names)

    @property
    def names(self) -> list[JsonValue]:
        """The pointers; if there are too many into the metadata, `/metadata` replaces those."""
        if len(self._names) <= _MOST_NAMES:
            return [*self._names]
        above = [name for name in self._names if not name.startswith(f"{Repaired.METADATA}/")]
        return [*above[: _MOST_NAMES - 1], Repaired.METADATA]

    def note(self, pointer: str) -> None:
        """Add ``pointer``, or the pointer to its container if it is too long or not printable ASCII."""
        pointer = "/".join(pointer.split("/", _STEPS)[:_STEPS])
        while len(pointer) > _LONGEST_NAME or not (pointer.isascii() and pointer.isprintable()):
            pointer = pointer.rpartition("/")[0]
        self._names[pointer or Repaired.METADATA] = None

    def copy(self) -> "Repairs":
        """Return an independent copy."""
        return Repairs(self._names)


def storable(text: str) -> str:
    """Return ``text`` with U+FFFD for each U+0000 and each lone surrogate, which PostgreSQL cannot store.

    The two surrogates of a pair are joined to their character.
    """
    if not UNSTORABLE.search(text):
        return text
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", _REPLACEMENT)


def repaired_text(text: str, place: str, repairs: Repairs) -> str:
    """Return ``text`` as it can be stored, and add ``place`` to ``repairs`` if it was changed."""
    repaired = storable(text)
    if repaired != text:
        repairs.note(place)
    return repaired


def pieces(text: str, most: int = CONTENT_BYTES) -> list[str]:
    """Return ``text``, which must be storable, in consecutive pieces of at most ``most`` bytes of UTF-8; at least one.

    No character is split, so ``most`` must be at least 4.
    """
    if len(text) * 4 <= most:
        return [text]
    encoded = text.encode()
    found = []
    start = 0
    while start < len(encoded):
        found.append(encoded[start : start + most].decode(errors="ignore"))  # drops the start of a split character
        start += len(found[-1].encode())
    return found


def parts(
    content: str, metadata: Mapping[Any, Any], repairs: Repairs, most: int = CONTENT_BYTES
) -> list[tuple[str, JsonObject]]:
    """Return ``content`` as consecutive messages of at most ``most`` bytes, each with its metadata; usually one.

    If there are several, `part` in their metadata counts them from 1.
    """
    texts = pieces(repaired_text(content, Repaired.CONTENT, repairs), most)
    if len(texts) == 1:
        return [(texts[0], repaired_metadata(metadata, repairs))]
    repairs.note(Repaired.CONTENT)
    return [
        (text, repaired_metadata({PART: {"number": number, "of": len(texts)}, **metadata}, repairs))
        for number, text in enumerate(texts, 1)
    ]


def beginning(text: str, most: int) -> str:
    """Return the longest beginning of ``text`` that fits into ``most`` bytes of UTF-8."""
    return text if len(text) * 4 <= most else text.encode(errors="replace")[:most].decode(errors="ignore")


def as_text(value: object) -> str:
    """Return ``value`` if it is text, else as JSON text, or as `str()` of it if JSON cannot represent it."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_substitute)
    except Exception:  # noqa: BLE001 -- reading another program's object may raise anything
        return _printed(value)


def label(value: object, place: str, repairs: Repairs) -> str | None:
    """Return ``value`` as a name or id of 1 to 255 characters, and add ``place`` to ``repairs`` if it was changed.

    Return None if ``value`` is empty.
    """
    text = storable(as_text(value))[:LABEL_LENGTH]
    if text != value or not text:
        repairs.note(place)
    return text or None


def repaired_metadata(given: Mapping[Any, Any], repairs: Repairs, *, place: str = Repaired.METADATA) -> JsonObject:
    """Return ``given`` as metadata of at most METADATA_BYTES, with the pointers of all ``repairs`` in `repaired`.

    Pointers that ``given`` has there already stay first. ``place`` is the pointer to the metadata.
    """
    before = given.get(REPAIRED)
    found = Repairs()
    if isinstance(before, list):
        given = {name: value for name, value in given.items() if name != REPAIRED}
        for name in before:
            found.note(_printed(name))
    if (
        not repairs
        and before is None
        and len(given) <= _FEW
        and all(map(_is_plain, given))
        and all(map(_is_plain, given.values()))
    ):
        return dict(given)
    repaired = repaired_object(given, found, place=place)
    for name in repairs.names:
        found.note(str(name))
    if stored_bytes(_marked(repaired, found)) > METADATA_BYTES:
        _shrink_all(repaired, stored_bytes(repaired) + _NAMES_BYTES - METADATA_BYTES, place, found)
    return _marked(repaired, found)


def _is_plain(value: object) -> bool:
    """Return whether ``value`` certainly needs no repair; a fast check for what most metadata holds."""
    kind = type(value)
    if kind is str:
        return len(value) <= _SMALL and value.isascii() and "\0" not in value  # type: ignore[arg-type, attr-defined, operator]
    return kind is bool or (kind is int and -LARGEST_NUMBER <= value <= LARGEST_NUMBER)  # type: ignore[operator]


def marked(metadata: JsonObject, pointer: str) -> JsonObject:
    """Return valid ``metadata`` with ``pointer`` in `repaired`; it may exceed METADATA_BYTES by a few bytes."""
    found = metadata.get(REPAIRED)
    names = found if isinstance(found, list) else []
    return metadata if pointer in names else {**metadata, REPAIRED: [*names, pointer]}


def repaired_object(given: Mapping[Any, Any], repairs: Repairs, *, place: str) -> JsonObject:
    """Return ``given`` as a JSON object of any size that can be stored; ``place`` is the pointer to it."""
    return _Repairer(repairs).repaired(given, place)


def _marked(metadata: JsonObject, repairs: Repairs) -> JsonObject:
    return {**metadata, REPAIRED: repairs.names} if repairs else metadata


class _Repairer:
    """Converts any value to one that JSON and PostgreSQL can hold."""

    def __init__(self, repairs: Repairs) -> None:
        self._repairs = repairs
        self._left = _MOST_VALUES

    def repaired(self, given: Mapping[Any, Any], place: str) -> JsonObject:
        """Return the repaired object, without the values beyond `_MOST_VALUES`."""
        return self._members(given, place, 1)

    def _value(self, value: Any, place: str, depth: int) -> Any:
        """Return ``value``, which is nested in ``depth`` containers, as it can be stored."""
        self._left -= 1
        if isinstance(value, Enum):
            value = value.value
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return repaired_text(str(value), place, self._repairs)
        if isinstance(value, int | float):
            return self._number(value, place)
        if isinstance(value, Mapping | list | tuple):
            return self._container(value, place, depth)
        return self._foreign(value, place, depth)

    def _number(self, number: float, place: str) -> Any:
        if abs(number) <= LARGEST_NUMBER:  # False for NaN
            return number
        self._repairs.note(place)
        return _printed(number)

    def _container(self, value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], place: str, depth: int) -> Any:
        if depth >= METADATA_DEPTH:
            self._repairs.note(place)
            return storable(as_text(value)[:EXCERPT])
        if isinstance(value, Mapping):
            return self._members(value, place, depth + 1)
        parts = self._within_limit(enumerate(value), place)
        return [self._value(part, f"{place}/{index}", depth + 1) for index, part in parts]

    def _members(self, given: Mapping[Any, Any], place: str, depth: int) -> JsonObject:
        repaired: JsonObject = {}
        for key, value in self._within_limit(given.items(), place):
            name = storable(key if isinstance(key, str) else _printed(key))
            while name in repaired:
                name += "_"
            below = _below(place, name)
            if name != key:
                self._repairs.note(below)
            try:
                repaired[name] = self._value(value, below, depth)
            except Exception:  # noqa: BLE001 -- reading another program's object may raise anything
                self._repairs.note(below)
        return repaired

    def _within_limit(self, pairs: Iterable[tuple[T, Any]], place: str) -> Iterator[tuple[T, Any]]:
        """Yield ``pairs`` until `_MOST_VALUES` values have been examined."""
        for pair in pairs:
            if self._left <= 0:
                self._repairs.note(place)
                return
            yield pair

    def _foreign(self, value: Any, place: str, depth: int) -> Any:
        """Return a JSON value for a value of a type that JSON does not have."""
        substitute = _substitute(value)
        if not isinstance(value, UUID | date | time) and not is_dataclass(value):  # orjson converts these the same way
            self._repairs.note(place)
        return self._value(substitute, place, depth)


def _substitute(value: Any) -> Any:
    """Return a replacement for ``value``: an object if it has fields, else a list, a number or a text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name, None) for field in fields_of(value)}
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if isinstance(value, AbstractSet):
        return sorted(value, key=_printed)
    if isinstance(value, bytes | bytearray):
        return value.decode(errors="replace")
    return float(value) if isinstance(value, Real) else _fields_or_text(value)


def _fields_or_text(value: Any) -> Any:
    try:
        return dict(value.model_dump())  # a Pydantic model
    except Exception:  # noqa: BLE001 -- another program's object may raise anything
        return _printed(value)


def _printed(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 -- another program's object, or a number with more digits than Python prints
        return f"<{type(value).__name__}>"


def _shrink_all(metadata: JsonObject, excess: int, place: str, repairs: Repairs) -> None:
    """Remove ``excess`` bytes from ``metadata``, first from the unknown fields."""
    extra = metadata.get(EXTRA)
    if isinstance(extra, dict):
        excess -= _shrink(extra, excess, f"{place}/{EXTRA}", repairs)
        if not extra:
            del metadata[EXTRA]
    _shrink(metadata, excess, place, repairs)


def _shrink(holder: JsonObject, excess: int, place: str, repairs: Repairs) -> int:
    """Cut the largest members until ``excess`` bytes are removed, then drop the last ones; return the bytes removed."""
    sizes = {name: stored_bytes(value) for name, value in holder.items()}
    gone = 0
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if gone >= excess or sizes[name] <= _SMALL:
            break
        gone += _cut(holder, name, max(_SMALL, sizes[name] - (excess - gone)))
        repairs.note(_below(place, name))
    for name in reversed([*holder]):
        if gone >= excess:
            break
        gone += stored_bytes({name: holder.pop(name)})
        repairs.note(_below(place, name))
    return gone


def _cut(holder: JsonObject, name: str, most: int) -> int:
    """Cut a text to ``most`` bytes of JSON, or drop any other value; return the bytes removed."""
    value = holder.pop(name)
    size = stored_bytes(value)
    if not isinstance(value, str):
        return size
    length = most - 2  # without the quotes
    while stored_bytes(value) > most:
        value = beginning(value, length)
        length = length * most // (stored_bytes(value) + 1) if value else 0
    holder[name] = value
    return size - stored_bytes(value)


def _below(place: str, name: str) -> str:
    return f"{place}/{name[:_LONGEST_NAME].replace('~', '~0').replace('/', '~1')}"
