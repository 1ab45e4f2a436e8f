"""The service's limits for a message, and the size that its metadata has there.

What is beyond a limit is refused by the service; the recorder repairs it before it is sent.
"""

from decimal import Decimal
from typing import Final, TypeAlias

import orjson

CONTENT_BYTES: Final = 2**20  # of a text as UTF-8
METADATA_BYTES: Final = 16_384  # of metadata as JSON
METADATA_DEPTH: Final = 32  # levels of nesting, from 1
# The integers that every JSON reader keeps exact (RFC 8259, section 6). Every float beyond is an integer too.
LARGEST_NUMBER: Final = 2**53 - 1

JsonValue: TypeAlias = "list[JsonValue] | dict[str, JsonValue] | str | bool | int | float | None"
JsonObject: TypeAlias = dict[str, JsonValue]


class NotStorable(ValueError):
    """A value that metadata cannot hold. ``kind`` is a word for the rule; the message completes "The value …"."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


def stored_bytes(value: JsonValue) -> int:
    """Return the size of ``value`` as JSON in bytes, with numbers as PostgreSQL prints them.

    Raises NotStorable for a value that metadata cannot hold.
    """
    return _growth(value, 0) + len(orjson.dumps(value))


def check_storable(text: str) -> str:
    """Return ``text``; raises NotStorable if PostgreSQL cannot store it."""
    if "\0" in text:
        raise NotStorable("nul", "must not contain U+0000, which PostgreSQL cannot store")
    return text


def _growth(value: JsonValue, depth: int) -> int:
    """Validate ``value`` and return by how many bytes its numbers grow when PostgreSQL writes them in full."""
    if isinstance(value, str):
        check_storable(value)
    elif isinstance(value, float):
        return _decimal_growth(value)
    elif isinstance(value, dict):
        return _growth_of_all([*value, *value.values()], depth)
    elif isinstance(value, list):
        return _growth_of_all(value, depth)
    elif isinstance(value, int) and not isinstance(value, bool):
        _check_magnitude(value)
    return 0


def _growth_of_all(values: list[JsonValue], depth: int) -> int:
    if depth >= METADATA_DEPTH:
        raise NotStorable("depth", f"must not be nested deeper than {METADATA_DEPTH}")
    growth = 0
    for value in values:  # a generator in `sum` takes twice the time, of which this is a part for each message
        growth += _growth(value, depth + 1)
    return growth


def _check_magnitude(number: float) -> None:
    if not abs(number) <= LARGEST_NUMBER:  # true for NaN, too
        raise NotStorable("number", "must hold only finite numbers of magnitude at most 2^53-1")


def _decimal_growth(number: float) -> int:
    # JSONB stores 1e-300 as a decimal and prints all its zeros.
    _check_magnitude(number)
    shortest = repr(number)
    return len(format(Decimal(shortest), "f")) - len(shortest)
