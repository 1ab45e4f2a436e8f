"""A cache of the newest rows of a stream, without a gap, from which its followers read."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, Self, TypeVar

from backend.dao_service.portions import Bounds


class _Row(Protocol):
    @property
    def document(self) -> bytes: ...


RowT = TypeVar("RowT", bound=_Row)


class _Place(Protocol):
    """What was read of the stream: ``a < b`` tells that ``b`` has read a row that ``a`` has not."""

    def __lt__(self, other: Self, /) -> bool: ...


PlaceT = TypeVar("PlaceT", bound=_Place)


class Window(Generic[RowT, PlaceT]):
    """Holds all rows after the place `since` up to and including `reached`, within the bounds ``most``.

    So a follower that has read up to a place from `since` on misses no row when it reads the rest from here. Both
    places are None before the first call of `begin`. ``position`` gives the place after a row.
    """

    def __init__(self, position: Callable[[RowT], PlaceT], most: Bounds) -> None:
        self._position = position
        self._most = most
        self._rows: list[RowT] = []
        self.size = 0  # bytes of the rows' documents
        self.since: PlaceT | None = None
        self.reached: PlaceT | None = None

    def begin(self, place: PlaceT) -> None:
        """Start at ``place``: `add` adds the rows after it."""
        self.since = self.reached = place

    def add(self, rows: Sequence[RowT], reached: PlaceT) -> None:
        """Add ``rows``, all rows after `reached` up to the new ``reached``, and drop the oldest beyond the bounds."""
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

    def past(
        self, place: PlaceT, bounds: Bounds, is_new: Callable[[RowT], bool] | None = None
    ) -> tuple[list[RowT], bool] | None:
        """Return the rows after ``place`` within ``bounds``, and whether there are more.

        Of the rows after a place that this stream did not pass through, a reader may know some: ``is_new`` tells them
        apart. Returns None if rows after ``place`` were dropped, or `begin` was not called yet.
        """
        if self.since is None or place < self.since:
            return None
        later = self._rows[bisect_right(self._rows, place, key=self._position) :]
        if is_new is not None:
            later = [*filter(is_new, later)]
        rows = bounds.fitting(later, size_of)
        return rows, len(rows) < len(later)


def size_of(row: _Row) -> int:
    """Return the size of a row's document in bytes."""
    return len(row.document)
