"""The spool: a thread that writes the messages which are not on record yet to disk.

The event loop never touches the file. It puts entries and jobs into a queue, the inbox, and one thread takes them out.
While messages arrive the thread polls the inbox, because waking a thread costs the pipeline more than all the rest of
recording; only after `IDLE_AFTER` seconds without an item does it sleep until it is woken. A quarter of ``within``
seconds after the oldest entry was said it writes all entries in one transaction, even while the event loop is blocked;
the rest of that time is for a slow disk and a busy machine. A message that was sent by then is never written, so with a
fast sink the disk has nothing to do.

All items go through the one inbox, in order. So an entry is written before any later one, and at every moment the file
holds a consecutive run of a recorder's messages, except those on record. The event loop and the thread share no
variable except counters that only one of them writes.

If the file cannot be written (the disk is full, or the limit is reached), entries stay in memory, in order, and are
tried again with the next ones. `unsaved` is their size, so that the recorder stops accepting messages in time.
"""

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from verbatim_record.recorder.entry import Entry
from verbatim_record.recorder.faults import CarefulLog, place_of
from verbatim_record.recorder.spool.pending_writes import RETRY_INTERVAL, PendingWrites
from verbatim_record.recorder.spool.sqlite_store import Left

IDLE_AFTER: Final = 1.0  # seconds without a new item after which the thread sleeps until it is woken

log: Final = CarefulLog(logging.getLogger(__name__))

T = TypeVar("T")
_Job = Callable[[], None]


class Spool:
    """The spool of one recorder: on disk ``within`` seconds after a message was said, in a file of ``most_bytes``."""

    def __init__(self, path: Path, *, within: float, most_bytes: int) -> None:
        self._pace = within / 4
        self._inbox: deque[Entry | _Job] = deque()
        self._wakeup: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asleep = self._closing = False
        self._put_bytes = 0  # bytes
        self._last_item_at = 0.0  # when the thread last found an item, by the monotonic clock
        self._pending = PendingWrites(path, delay=self._pace, most_bytes=most_bytes)
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)

    @property
    def unsaved(self) -> int:
        """The number of bytes that are in memory only."""
        return self._put_bytes - self._pending.saved

    @property
    def rows(self) -> int:
        """The number of messages that are on disk and not on record."""
        return self._pending.rows

    async def open(self, *, refused: bool = False) -> Left:
        """Open the file, take over the messages of recorders that have ended, and return their count.

        With ``refused`` also those that were refused. Raises SetupError if the file cannot be opened. If the caller is
        cancelled, the thread closes the file as soon as it is open, and releases what it took over.
        """
        self._thread.start()
        try:
            return await self._call(lambda: self._open(refused=refused))
        except asyncio.CancelledError:
            self._submit(self._close)
            raise

    def put(self, entry: Entry) -> None:
        """Queue ``entry`` for writing, unless it is settled before."""
        self._put_bytes += entry.size
        self._inbox.append(entry)  # as `_enqueue` does; each call counts in a cold `record`
        if self._asleep:
            self._wake()

    def settle(self, entries: Sequence[Entry]) -> None:
        """Remove ``entries``, which are on record, from the spool."""
        self._enqueue(lambda: self._pending.settle(entries))

    def refuse(self, refused: Sequence[tuple[Entry, str]]) -> None:
        """Keep refused entries with the reason, for an operator."""
        self._enqueue(lambda: self._pending.refuse(refused))

    async def read(self, limit: int, most_bytes: int) -> tuple[list[Entry], bool]:
        """Return the next entries that the writer does not have in memory, and whether there may be more.

        There are at most ``limit`` entries of ``most_bytes`` together.
        """
        return await self._call(lambda: self._pending.read(limit, most_bytes))

    def flush(self) -> Future[None]:
        """Write everything now, and return a future for a caller without an event loop, such as a signal handler."""
        return self._submit(self._pending.save_at_the_end)

    def close(self) -> asyncio.Future[list[Entry]]:
        """Write everything, close the file, and return the entries that could not be saved; call it once.

        The thread does it even if the future is not awaited, as long as that is not cancelled.
        """
        return self._call(self._close)

    def _call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.wrap_future(self._submit(work))

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        answer: Future[T] = Future()

        def job() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(work())
                except Exception as error:  # noqa: BLE001 -- the caller's future raises it
                    answer.set_exception(error)

        self._inbox.append(job)
        self._wakeup.put(None)
        return answer

    def _enqueue(self, item: Entry | _Job) -> None:
        self._inbox.append(item)
        if self._asleep:
            self._wake()

    def _wake(self) -> None:
        self._asleep = False
        self._wakeup.put(None)

    # The methods below run in the thread.

    def _run(self) -> None:
        while not self._closing:
            try:
                self._work()
            except Exception as error:  # noqa: BLE001 -- without the thread nothing would be written any more
                log.error("spool's thread failed: %(why)s", {"why": place_of(error)})
                with suppress(queue.Empty):
                    self._wakeup.get(timeout=RETRY_INTERVAL)

    def _work(self) -> None:
        if self._drain():
            self._last_item_at = time.monotonic()
        if self._pending.wait == 0:
            self._pending.save()
        if not self._closing:
            self._wait()

    def _drain(self) -> bool:
        """Process every item of the inbox, and return whether there was one."""
        found = False
        while self._inbox and not self._closing:
            found = True
            item = self._inbox.popleft()
            if isinstance(item, Entry):
                self._pending.take(item)
            else:
                item()
        return found

    def _wait(self) -> None:
        """Wait until a write is due, the inbox is to be polled, or the thread is woken."""
        timeout = self._pending.wait
        if timeout is None and time.monotonic() < self._last_item_at + IDLE_AFTER:
            timeout = self._pace
        elif timeout is None:
            self._asleep = True
            if self._inbox:  # an item that came before `_asleep` was set did not wake the thread
                timeout = 0.0
        with suppress(queue.Empty):
            self._wakeup.get(timeout=timeout)
        self._asleep = False

    def _open(self, *, refused: bool) -> Left:
        self._closing = True
        left = self._pending.open(refused=refused)
        self._closing = False
        return left

    def _close(self) -> list[Entry]:
        self._closing = True
        return self._pending.close()
