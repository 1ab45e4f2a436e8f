"""Memory budgets: bytes that this process holds for callers, bounded over all callers together and for each caller."""

from collections import defaultdict
from collections.abc import Hashable


class Budget:
    """Counts bytes in memory, up to ``most`` in all and up to ``share`` for each caller; both bounds are inclusive.

    ``caller`` is any hashable that identifies a caller; for the caller None only ``most`` applies. Once all counted
    bytes are given back, `used` is 0 and the budget holds no caller.
    """

    def __init__(self, most: int, share: int) -> None:
        self._most = most
        self._share = share
        self._callers = defaultdict[Hashable, int](int)
        self.used = 0

    @property
    def exceeded(self) -> bool:
        """Whether more than ``most`` bytes are counted."""
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
        """Count ``size`` more bytes for ``caller``, even beyond the bounds."""
        self.used += size
        self._callers[caller] += size

    def give_back(self, caller: Hashable, size: int) -> None:
        """Count ``size`` bytes less for ``caller``, for which they were counted before."""
        self.used -= size
        self._callers[caller] -= size
        if not self._callers[caller]:
            del self._callers[caller]
