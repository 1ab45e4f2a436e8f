"""Statistics of the recorders in this process."""

from collections import Counter
from dataclasses import dataclass
from threading import Lock
from typing import Final, Protocol
from weakref import WeakSet


@dataclass(frozen=True, slots=True)
class Stats:
    """The counts of one recorder, in messages since it was opened.

    ``queued`` have no answer yet, in memory or on disk; ``spooled`` of these are on disk. ``sent`` are on record.
    ``refused`` were refused for good. ``lost`` had no room in memory or on disk. ``oldest_unsent_seconds`` is the age
    of the oldest queued message in seconds, 0 without one.
    """

    queued: int
    sent: int
    spooled: int
    refused: int
    lost: int
    oldest_unsent_seconds: float


class Watched(Protocol):
    """An object with statistics, such as a recorder."""

    @property
    def stats(self) -> Stats:
        """The current counts."""


TOTALS: Final[Counter[str]] = Counter(sent=0, refused=0, lost=0)  # messages of all recorders since the process began
_OPEN: Final[WeakSet[Watched]] = WeakSet()
_LOCK: Final = Lock()  # a scrape runs in a thread of its own, and a set must not change while it is read


def watch(recorder: Watched) -> None:
    """Include ``recorder`` in `current`, until `unwatch`; this does not keep it alive."""
    with _LOCK:
        _OPEN.add(recorder)


def unwatch(recorder: Watched) -> None:
    """Remove ``recorder`` from `current`."""
    with _LOCK:
        _OPEN.discard(recorder)


def current() -> list[Stats]:
    """Return the counts of every recorder that is open."""
    with _LOCK:
        now_open = list(_OPEN)
    return [recorder.stats for recorder in now_open]
