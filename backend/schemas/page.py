"""Pagination: pages of lists, and the encoding of cursors. Each resource's own module has its places and queries.

A cursor names the row after which (reading backward: before which) the next page begins, and never an offset, so rows
that are inserted meanwhile do not shift the page. It is opaque to clients: base64url of a small JSON array.
"""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Generic, TypeVar

import orjson
from pydantic import BaseModel, Field

from backend.errors import Fault, Invalid

DEFAULT_LIMIT: Final = 50
LARGEST_PAGE: Final = 500  # items
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Cursor = Annotated[str, Field(max_length=2_000)]

ItemT = TypeVar("ItemT")


class Page(BaseModel, Generic[ItemT]):
    """One page of a list. At the end of the list ``next_cursor`` stays valid: it later returns the rows added since.

    A page has fewer than ``limit`` rows if they exceed a megabyte together; ``has_more`` tells whether rows follow.
    """

    data: list[ItemT]
    next_cursor: str | None = Field(description="The `cursor` of the next page; it stays valid at the end of the list.")
    has_more: bool = Field(description="Whether more follows now.")


def encode_cursor(parts: list[int | str]) -> str:
    """Return ``parts``, which name a place in one list, as an opaque string."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def decode_cursor(cursor: str) -> object:
    """Return the parts that were encoded; raises Invalid. The cursor may be of another list, or made by a client."""
    try:
        return orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise unusable_cursor() from None


def unusable_cursor() -> Invalid:
    """Return the refusal of a cursor that names no place in the list."""
    return Invalid([Fault("/query/cursor", "is not a cursor of this list in this order; start again without it")])


def to_microseconds(moment: datetime) -> int:
    """Return the microseconds between 1970 and ``moment``."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Return the moment so many microseconds after 1970; raises Invalid for one that no `datetime` can hold."""
    try:
        return _EPOCH + microseconds * _MICROSECOND
    except OverflowError:
        raise unusable_cursor() from None
