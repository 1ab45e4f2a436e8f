"""When Python's garbage collector looks at everything: after memory has grown, and not before.

What there is at start stays for good, and a request leaves no cycles behind, nor does a stream that its client leaves.
Looking through everything again and again was most of the slowest answers (p99 of 62 ms became 14 ms), so by its own
thresholds the collector never does. But a cycle that is left after all, as by a library that is cancelled, may hold
much. So everything is looked through once the process has grown by `GROWTH`: garbage is bounded by that, and a process
that does not grow is not stopped. With 2,000 followers one such look takes 0.2 s. What 5,000 waiting requests hold is
less than `GROWTH`.

The younger generations are small: when thousands of clients arrive at once, 100,000 new objects are looked through in
about 15 ms, where two million stopped the event loop for half a second.
"""

import asyncio
import gc
from typing import Final

import psutil

GROWTH: Final = 128 * 2**20  # bytes of resident memory, of a worker that shall need less than 400 MiB
THRESHOLDS: Final = (10_000, 10, 10**9)  # new objects; collections of the youngest and of the middle generation
PAUSE: Final = 1.0  # seconds between two looks at how much that is


class GarbageCollection:
    """Watches the memory of this process."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Collect what there is, and from then on when memory has grown; from inside the event loop."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        self._task = self._task or asyncio.create_task(self._run(), name="collector")

    async def close(self) -> None:
        """Watch no more; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        before = self._resident()
        while True:
            await asyncio.sleep(PAUSE)
            if self._resident() - before >= GROWTH:
                gc.collect()
                before = self._resident()

    def _resident(self) -> int:
        size: int = self._process.memory_info().rss
        return size
