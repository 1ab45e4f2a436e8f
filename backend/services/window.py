"""A cache of the newest rows of a stream, without a gap, from which its followers read."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from backend.dao_service.portions import Bounds


class _Row(Protocol):
    @property
    def document(self) -> bytes: ...


RowT = TypeVar("RowT", bound=_Row)


class Window(Generic[RowT]):
    """Holds all rows with positions above `since` up to and including `reached`, within the bounds ``most``.

    So a follower that has read up to a position from `since` on misses no row when it reads the rest from here. Both
    positions are -1 before the first call of `begin`.
    """

    def __init__(self, position: Callable[[RowT], int], most: Bounds) -> None:
        self._position = position
        self._most = most
        self._rows: list[RowT] = []
        self.size = 0  # bytes of the rows' documents
        self.since = self.reached = -1

    def begin(self, place: int) -> None:
        """Start at the position ``place``: `add` adds the rows above it."""
        self.since = self.reached = place

    def add(self, rows: Sequence[RowT], reached: int) -> None:
        """Add ``rows``, all rows above `reached` up to the new ``reached``, and drop the oldest beyond the bounds."""
        self._rows += rows
        self.reached = reached
        self.size += sum(map(size_of, rows))
        dropped = 0
        while len(self._rows) - dropped > self._most.rows or self.size > self._most.size:
            self.size -= size_of(self._rows[dropped])
            dropped += 1
        if dropped:
            self.since = self._position(self._rows[dropped - 1])
            del self._rows[:dropped]

    def forget(self) -> None:
        """Drop all rows."""
        self._rows.clear()
        self.size = 0
        self.since = self.reached

    def past(self, place: int, bounds: Bounds) -> tuple[list[RowT], bool] | None:
        """Return the rows above ``place`` within ``bounds``, and whether there are more.

        Returns None if rows above ``place`` were dropped, or `begin` was not called yet.
        """
        if self.since < 0 or place < self.since:
            return None
        first = bisect_right(self._rows, place, key=self._position)
        rows = bounds.fitting(self._rows[first : first + bounds.rows], size_of)
        return rows, first + len(rows) < len(self._rows)


def size_of(row: _Row) -> int:
    """Return the size of a row's document in bytes."""
    return len(row.document)
