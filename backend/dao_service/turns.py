"""Turns at something of which there are few, shared fairly among callers.

Each caller has a queue of its own. A turn that is free goes to the callers in rotation, so a caller that asks a
thousand times delays another's single question by no more than one turn for each caller before it. No caller has more
than its share at a time: what is slow for one leaves turns for the others.

Every change either gives out all that may be given out, or leaves no waiting caller that is below its share while a
turn is free. A waiter that is cancelled gives back a turn that it was granted in the same moment.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """``count`` turns, of which one caller has at most ``share`` at a time."""

    def __init__(self, count: int, share: int) -> None:
        self._free = count
        self._share = share
        self._taken: Counter[str] = Counter()
        # By caller, whose turn comes next first. No queue is empty.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def waiting(self, caller: str) -> int:
        """Return how many turns ``caller`` waits for."""
        return len(self._waiting.get(caller, ()))

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Hold a turn of ``caller``'s."""
        await self.take(caller)
        try:
            yield
        finally:
            self.give_back(caller)

    async def take(self, caller: str) -> None:
        """Wait for a turn; the caller gives it back."""
        if self._may_have(caller):  # whoever waits has its share, or there would be no free turn
            self._grant(caller)
            return
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.give_back(caller)
            else:
                self._forget(caller, granted)
            raise

    def give_back(self, caller: str) -> None:
        """End a turn of ``caller``'s."""
        self._free += 1
        self._taken[caller] -= 1
        if not self._taken[caller]:
            del self._taken[caller]
        self._serve()

    def _may_have(self, caller: str) -> bool:
        return self._free > 0 and self._taken[caller] < self._share

    def _grant(self, caller: str) -> None:
        self._free -= 1
        self._taken[caller] += 1

    def _serve(self) -> None:
        while caller := next(filter(self._may_have, self._waiting), None):
            queue = self._waiting.pop(caller)
            granted = queue.popleft()
            if queue:
                self._waiting[caller] = queue  # at the end of the rotation
            if not granted.cancelled():
                self._grant(caller)
                granted.set_result(None)

    def _forget(self, caller: str, granted: asyncio.Future[None]) -> None:
        queue = self._waiting.get(caller)
        if queue and granted in queue:
            queue.remove(granted)
            if not queue:
                del self._waiting[caller]
