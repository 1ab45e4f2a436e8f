"""What runs beside the requests from the start of the service to its end: one asyncio task for each."""

import asyncio
from abc import ABC, abstractmethod


class BackgroundTask(ABC):
    """Runs `_run` as a task from `start` to `close`."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task; call it in the event loop. A second call does nothing."""
        self._task = self._task or asyncio.create_task(self._run(), name=type(self).__name__)

    async def close(self) -> None:
        """Cancel the task, and wait until it has ended; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    @abstractmethod
    async def _run(self) -> None: ...
