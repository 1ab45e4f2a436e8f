"""A finding that costs something, made once for all who ask for it at about the same time."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

FoundT = TypeVar("FoundT")


class SingleFlight(Generic[FoundT]):
    """What ``find`` returns. All who ask while it runs share the run; ``keep`` tells which results are good for longer.

    A caller that is cancelled stops nothing: the run goes on for the others.
    """

    def __init__(
        self, find: Callable[[], Coroutine[Any, Any, FoundT]], keep: Callable[[FoundT], bool] = lambda _: True
    ) -> None:
        self._find = find
        self._keep = keep
        self._task: asyncio.Task[FoundT] | None = None
        self._begun = 0.0

    async def get(self, fresh: float) -> FoundT:
        """Return what was found; it may be ``fresh`` seconds old. Raises what ``find`` raises."""
        if self._task is None or (self._task.done() and not self._is_good(self._task, fresh)):
            self._task = asyncio.create_task(self._find(), name="shared finding")
            self._begun = time.monotonic()
        return await asyncio.shield(self._task)

    async def close(self) -> None:
        """Stop what runs; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _is_good(self, task: asyncio.Task[FoundT], fresh: float) -> bool:
        if task.cancelled() or task.exception():
            return False
        return self._keep(task.result()) and time.monotonic() - self._begun < fresh
