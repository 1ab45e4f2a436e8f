"""When Python's garbage collector runs: only after the worker's memory has grown by `GROWTH`.

The objects that exist at start live as long as the worker, and neither a request nor a stream that its client closes
leaves reference cycles. Collections at Python's thresholds found nothing, and stopped the event loop: while 2,000
followers connected, each of the youngest generation for 5 to 80 ms, and of the middle one for up to 0.25 s. A full one
takes up to 0.5 s then. But a cycle that is left after all, for instance by a library whose task was cancelled, may hold
much memory. So a full collection runs once the worker has grown by `GROWTH`: that bounds the garbage, and a worker that
does not grow is not stopped. Neither 2,000 followers nor 5,000 waiting requests hold as much as `GROWTH`.
"""

import asyncio
import gc
from typing import Final

import psutil

from backend.background_task import BackgroundTask

GROWTH: Final = 192 * 2**20  # bytes of resident memory; a worker begins with 100 MiB, and is to need less than 400 MiB
PAUSE: Final = 1.0  # seconds between two readings of the resident memory


class GarbageCollection(BackgroundTask):
    """Runs a full collection whenever the resident memory of this process has grown by `GROWTH` bytes."""

    def __init__(self) -> None:
        super().__init__()
        self._process = psutil.Process()

    def start(self) -> None:
        """Exempt all existing objects from collection, and watch the memory instead; call it in the event loop."""
        gc.collect()
        gc.freeze()
        gc.disable()
        super().start()

    async def close(self) -> None:
        """End, and let Python collect by its thresholds again."""
        await super().close()
        gc.enable()

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
