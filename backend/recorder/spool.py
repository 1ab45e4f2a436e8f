"""What is not on record yet is on disk: the thread that sees to it.

The event loop never touches the file. It drops entries and wishes into an inbox, and one thread takes them out. While
people talk the thread looks into the inbox by itself, because to wake a thread costs a speaker more than all the rest
of recording; only when nothing has come for a while does it sleep until the bell rings. So it is its own clock: a
quarter of ``within`` seconds after the first entry was said it writes all there are, in one transaction, also while the
event loop stands still; the rest of the time is for a slow disk and a busy machine. What has been sent by then is never
written at all: with a healthy sink near by the disk has nothing to do.

Everything goes through the one inbox, in order. So an entry is written before what was said after it; what the file
holds of a recorder is, at every moment, a run of its messages without what is already on record; and nobody shares a
variable with the thread but counters that only one side writes.

When the file cannot be written (a full disk, or the limit is reached) entries stay in the thread's hands, in order,
and are tried again with the next ones; `unsaved` tells how much that is, so that the recorder can stop in time.
"""

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import structlog

from backend.recorder.entry import Entry
from backend.recorder.pending_writes import AGAIN, PendingWrites
from backend.recorder.sqlite_store import Left

LINGER: Final = 1.0  # seconds without anything new after which the thread sleeps

log = structlog.get_logger(__name__)

T = TypeVar("T")
_Wish = Callable[[], None]


class Spool:
    """The messages of one recorder on their way: on disk within ``within`` seconds, in a file of ``most_bytes``."""

    def __init__(self, path: Path, *, within: float, most_bytes: int) -> None:
        self._pace = within / 4
        self._inbox: deque[Entry | _Wish] = deque()
        self._wakeup: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asleep = self._closing = False
        self._put = 0  # bytes
        self._heard = 0.0  # when the thread last found something in the inbox
        self._pending = PendingWrites(path, delay=self._pace, most_bytes=most_bytes)
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    @property
    def unsaved(self) -> int:
        """How many bytes are in memory only."""
        return self._put - self._pending.saved

    @property
    def rows(self) -> int:
        """How many messages are on disk and not on record."""
        return self._pending.rows

    async def open(self, *, refused: bool = False) -> Left:
        """Open the file, take over what recorders left that are gone, and return what there is.

        With ``refused`` also what had been refused. Raises SetupError when there can be no such file. If the caller is
        cancelled, the thread closes the file again as soon as it is open, and gives back what it took over.
        """
        self._thread.start()
        try:
            return await self._ask(lambda: self._open(refused=refused))
        except asyncio.CancelledError:
            self._request(self._close)
            raise

    def put(self, entry: Entry) -> None:
        """Have ``entry`` on disk soon, unless it is settled before."""
        self._put += len(entry.body)
        self._drop(entry)

    def settle(self, entries: Sequence[Entry]) -> None:
        """Forget what is on record."""
        self._drop(lambda: self._pending.settle(entries))

    def refuse(self, refused: Sequence[tuple[Entry, str]]) -> None:
        """Keep what was refused, with the reason, for somebody to look at."""
        self._drop(lambda: self._pending.refuse(refused))

    async def read(self, limit: int, most_bytes: int) -> tuple[list[Entry], bool]:
        """Return what comes next of that which is not in memory, and whether there may be more."""
        return await self._ask(lambda: self._pending.read(limit, most_bytes))

    def flush(self) -> Future[None]:
        """Have all written now; for whoever waits without an event loop."""
        return self._request(self._pending.save)

    async def close(self) -> list[Entry]:
        """Put all on disk, close the file, and return what could not be saved; not to be asked twice."""
        return await self._ask(self._close)

    def _ask(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.wrap_future(self._request(work))

    def _request(self, work: Callable[[], T]) -> Future[T]:
        answer: Future[T] = Future()

        def wish() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(work())
                except Exception as error:  # noqa: BLE001 -- it belongs to whoever asked
                    answer.set_exception(error)

        self._inbox.append(wish)
        self._wakeup.put(None)
        return answer

    def _drop(self, item: Entry | _Wish) -> None:
        self._inbox.append(item)
        if self._asleep:
            self._asleep = False
            self._wakeup.put(None)

    # The thread.

    def _run(self) -> None:
        while not self._closing:
            try:
                self._work()
            except Exception as error:
                # Without the thread nothing more would come to the disk, and no log would say so.
                log.error("spool's thread failed", exc_info=error)
                with suppress(queue.Empty):
                    self._wakeup.get(timeout=AGAIN)

    def _work(self) -> None:
        if self._empty():
            self._heard = time.monotonic()
        if self._pending.wait == 0:
            self._pending.save()
        if not self._closing:
            self._rest()

    def _empty(self) -> bool:
        """Take everything out of the inbox, and tell whether there was anything."""
        found = False
        while self._inbox and not self._closing:
            found = True
            item = self._inbox.popleft()
            if isinstance(item, Entry):
                self._pending.take(item)
            else:
                item()
        return found

    def _rest(self) -> None:
        """Wait until something is due, or might have come, or the bell rings."""
        patience = self._pending.wait
        if patience is None and time.monotonic() < self._heard + LINGER:
            patience = self._pace
        elif patience is None:
            self._asleep = True
            if self._inbox:  # what came before it was known that we sleep rang no bell
                patience = 0.0
        with suppress(queue.Empty):
            self._wakeup.get(timeout=patience)
        self._asleep = False

    def _open(self, *, refused: bool) -> Left:
        self._closing = True
        left = self._pending.open(refused=refused)
        self._closing = False
        return left

    def _close(self) -> list[Entry]:
        self._closing = True
        return self._pending.close()
