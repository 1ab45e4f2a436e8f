"""Bytes that callers make this process hold: bounded over all callers together, and for each caller."""

from collections import Counter
from collections.abc import Hashable


class Budget:
    """Counts bytes held, up to ``most`` in all and up to ``share`` for each caller; both bounds are inclusive.

    ``caller`` is any name of who makes the process hold them; the caller None has no share of its own, only ``most``.
    Whoever takes bytes gives the same number back; then `used` is 0 and no caller is remembered.
    """

    def __init__(self, most: int, share: int) -> None:
        self._most = most
        self._share = share
        self._callers: Counter[Hashable] = Counter()
        self.used = 0

    def fits_share(self, caller: Hashable, size: int) -> bool:
        """Tell whether ``size`` more bytes fit into the share of ``caller``."""
        return caller is None or self._callers[caller] + size <= self._share

    def take(self, caller: Hashable, size: int) -> bool:
        """Count ``size`` more bytes for ``caller`` and return True, or count nothing and return False."""
        if self.used + size > self._most or not self.fits_share(caller, size):
            return False
        self.used += size
        self._callers[caller] += size
        return True

    def give_back(self, caller: Hashable, size: int) -> None:
        """Count ``size`` bytes less for ``caller``."""
        self.used -= size
        self._callers[caller] -= size
        if not self._callers[caller]:
            del self._callers[caller]
