"""Bytes that callers make this process hold: bounded over all callers together, and for each caller."""

from collections import defaultdict
from collections.abc import Hashable


class Budget:
    """Counts bytes held, up to ``most`` in all and up to ``share`` for each caller; both bounds are inclusive.

    ``caller`` is any name of who makes the process hold them; the caller None has no share of its own, only ``most``.
    Once all bytes that were counted are given back, `used` is 0 and no caller is remembered.
    """

    def __init__(self, most: int, share: int) -> None:
        self._most = most
        self._share = share
        self._callers = defaultdict[Hashable, int](int)
        self.used = 0

    @property
    def exceeded(self) -> bool:
        """Whether more bytes are counted than may be held in all."""
        return self.used > self._most

    def share_exceeded(self, caller: Hashable) -> bool:
        """Tell whether more bytes are counted for ``caller`` than its share."""
        return self.lacks_share(caller, 0)

    def lacks_share(self, caller: Hashable, size: int) -> bool:
        """Tell whether ``size`` more bytes would exceed the share of ``caller``."""
        return caller is not None and self._callers.get(caller, 0) + size > self._share

    def take(self, caller: Hashable, size: int) -> bool:
        """Count ``size`` more bytes for ``caller`` and return True, or count nothing and return False."""
        self.count(caller, size)
        if self.exceeded or self.share_exceeded(caller):
            self.give_back(caller, size)
            return False
        return True

    def count(self, caller: Hashable, size: int) -> None:
        """Count ``size`` more bytes for ``caller``, whether there is room or not."""
        self.used += size
        self._callers[caller] += size

    def give_back(self, caller: Hashable, size: int) -> None:
        """Count ``size`` bytes less for ``caller``."""
        self.used -= size
        self._callers[caller] -= size
        if not self._callers[caller]:
            del self._callers[caller]
