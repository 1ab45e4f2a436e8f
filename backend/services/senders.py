"""Whether more than one caller has sent messages in the last one to two seconds, for the fair queue of appends."""

from collections.abc import Hashable
from typing import Final

_INTERVAL: Final = 1.0  # seconds


class Senders:
    """The callers that have sent messages in the last one to two seconds.

    Two sets hold them; once a second the older set is dropped.
    """

    def __init__(self) -> None:
        self._recent: set[Hashable] = set()
        self._older: set[Hashable] = set()
        self._since = 0.0

    def note(self, sender: Hashable, now: float) -> None:
        """Note that ``sender`` has sent messages; ``now`` is in seconds of a monotonic clock."""
        self._rotate(now)
        self._recent.add(sender)

    def several(self, now: float) -> bool:
        """Tell whether there is more than one such caller at ``now``."""
        self._rotate(now)
        return len(self._recent) > 1 or len(self._recent | self._older) > 1

    def _rotate(self, now: float) -> None:
        if now - self._since < _INTERVAL:
            return
        self._older = self._recent if now - self._since < 2 * _INTERVAL else set()
        self._recent = set()
        self._since = now
