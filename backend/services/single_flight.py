"""Single flight with a cache: concurrent callers of a costly function share one run, and later ones its result."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

FoundT = TypeVar("FoundT")


class SingleFlight(Generic[FoundT]):
    """Runs ``find`` once for all callers that wait at the same time, and caches the results that ``keep`` accepts.

    A caller that is cancelled does not cancel the run, because other callers may wait for it.
    """

    def __init__(
        self, find: Callable[[], Coroutine[Any, Any, FoundT]], keep: Callable[[FoundT], bool] = lambda _: True
    ) -> None:
        self._find = find
        self._keep = keep
        self._task: asyncio.Task[FoundT] | None = None
        self._begun = 0.0

    async def get(self, max_age: float) -> FoundT:
        """Return the result of the current run, or of one that began less than ``max_age`` seconds ago.

        Starts a new run if there is neither. Raises what ``find`` raises.
        """
        if self._task is None or (self._task.done() and not self._is_fresh(self._task, max_age)):
            self._task = asyncio.create_task(self._find(), name="single flight")
            self._begun = time.monotonic()
        return await asyncio.shield(self._task)

    async def close(self) -> None:
        """Cancel the run, if there is one; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _is_fresh(self, task: asyncio.Task[FoundT], max_age: float) -> bool:
        if task.cancelled() or task.exception():
            return False
        return self._keep(task.result()) and time.monotonic() - self._begun < max_age
