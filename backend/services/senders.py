"""Whether several callers have sent something lately."""

from collections.abc import Hashable
from typing import Final

_LATELY: Final = 1.0  # seconds


class Senders:
    """The callers that have sent something within the last one to two seconds.

    They are kept in two sets; once a second the older set is dropped.
    """

    def __init__(self) -> None:
        self._these: set[Hashable] = set()
        self._before: set[Hashable] = set()
        self._since = 0.0

    def note(self, sender: Hashable, now: float) -> None:
        """Note that ``sender`` sends something; ``now`` is in seconds and never goes back."""
        self._turn(now)
        self._these.add(sender)

    def several(self, now: float) -> bool:
        """Tell whether there is more than one."""
        self._turn(now)
        return len(self._these) > 1 or len(self._these | self._before) > 1

    def _turn(self, now: float) -> None:
        if now - self._since < _LATELY:
            return
        self._before = self._these if now - self._since < 2 * _LATELY else set()
        self._these = set()
        self._since = now
