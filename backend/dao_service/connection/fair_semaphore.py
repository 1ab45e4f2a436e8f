"""A semaphore that is fair among callers (round robin), for the connection pool.

Each caller has a queue of its own. A free permit goes to the callers in rotation, so a caller with a thousand requests
delays another caller's single request by at most one permit for each caller before it. No caller holds more permits
than its share, so one caller's slow requests leave permits for the others.

Invariant: while a permit is free, no waiting caller holds fewer permits than its share. A waiter that is cancelled in
the moment in which it was granted a permit releases it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairSemaphore:
    """``count`` permits, of which one caller holds at most ``share`` at a time."""

    def __init__(self, count: int, share: int) -> None:
        self._free = count
        self._share = share
        self._taken: Counter[str] = Counter()
        # By caller, in the order of the rotation. No queue is empty.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def waiting(self, caller: str) -> int:
        """Return for how many permits ``caller`` waits."""
        return len(self._waiting.get(caller, ()))

    @asynccontextmanager
    async def permit(self, caller: str) -> AsyncIterator[None]:
        """Wait for a permit of ``caller`` and hold it during the block."""
        await self.acquire(caller)
        try:
            yield
        finally:
            self.release(caller)

    def acquire_now(self, caller: str) -> bool:
        """Take a permit if one is free, and return whether it was; the caller then releases it."""
        free = self._may_have(caller)  # overtakes no waiter of this caller: they wait only if no permit is free for it
        if free:
            self._grant(caller)
        return free

    async def acquire(self, caller: str) -> None:
        """Wait for a permit; the caller releases it."""
        if self.acquire_now(caller):
            return
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self.release(caller)
            else:
                self._forget(caller, granted)
            raise

    def release(self, caller: str) -> None:
        """Release a permit of ``caller``, and grant it to the next caller in the rotation."""
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
