"""The newest rows of what is followed, without a gap."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from backend.dao_service.portions import Bounds


class _Row(Protocol):
    @property
    def document(self) -> bytes: ...


RowT = TypeVar("RowT", bound=_Row)


class Window(Generic[RowT]):
    """Keeps the rows past the position `since` up to `reached`, at most as many as ``most`` allows.

    A follower whose place is inside misses nothing when it takes what is past it. Both are -1 before the first look.
    """

    def __init__(self, position: Callable[[RowT], int], most: Bounds) -> None:
        self._position = position
        self._most = most
        self._rows: list[RowT] = []
        self.size = 0  # bytes of their documents
        self.since = self.reached = -1

    def begin(self, place: int) -> None:
        """Keep what comes past ``place``."""
        self.since = self.reached = place

    def add(self, rows: Sequence[RowT], reached: int) -> None:
        """Add ``rows``, which lie past `reached` and up to the new ``reached``, and drop the oldest beyond ``most``."""
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
        """Keep nothing."""
        self._rows.clear()
        self.size = 0
        self.since = self.reached

    def past(self, place: int, bounds: Bounds) -> tuple[list[RowT], bool] | None:
        """Return what is kept past ``place``, as much as fits, and whether there is more; None if that is unknown."""
        if self.since < 0 or place < self.since:
            return None
        first = bisect_right(self._rows, place, key=self._position)
        rows = bounds.fitting(self._rows[first : first + bounds.rows], size_of)
        return rows, first + len(rows) < len(self._rows)


def size_of(row: _Row) -> int:
    """Return the bytes of a row's document."""
    return len(row.document)
