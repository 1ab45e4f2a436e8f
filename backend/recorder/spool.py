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
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import structlog

from backend.errors import SetupError
from backend.recorder.claim import Claim
from backend.recorder.disk import Disk
from backend.recorder.entry import Entry
from backend.recorder.salvage import open_shelf
from backend.recorder.shelf import AT_ONCE, Left

AGAIN: Final = 1.0  # seconds until a write that failed is tried again
LINGER: Final = 1.0  # seconds without anything new after which the thread sleeps

T = TypeVar("T")
_Wish = Callable[[], None]

log = structlog.get_logger(__name__)


class Spool:
    """The messages of one recorder on their way: on disk within ``within`` seconds, in a file of ``most_bytes``."""

    def __init__(self, path: Path, *, within: float, most_bytes: int) -> None:
        self._path = path
        self._delay = within / 4
        self._most_bytes = most_bytes
        self._inbox: deque[Entry | _Wish] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asleep = False
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._put = self._saved = 0  # bytes; the one is counted by the event loop, the other by the thread
        self._rows = 0
        # From here on the thread's alone.
        self._new: dict[Entry, None] = {}
        self._gone: list[int] = []
        self._refused: list[Entry] = []
        self._read_to = 0
        self._since: float | None = None  # when the first of what must be written came
        self._closing = self._failing = False

    @property
    def unsaved(self) -> int:
        """How many bytes are in memory only."""
        return self._put - self._saved

    @property
    def rows(self) -> int:
        """How many messages are on disk and not on record."""
        return self._rows

    async def open(self, *, refused: bool = False) -> Left:
        """Open the file, take over what recorders left that are gone, and return what there is.

        With ``refused`` also what had been refused. Raises SetupError when there can be no such file.
        """
        self._thread.start()
        return await self._ask(lambda: self._open(refused=refused))

    def put(self, entry: Entry) -> None:
        """Have ``entry`` on disk soon, unless it is settled before."""
        self._put += len(entry.body)
        self._drop(entry)

    def settle(self, entries: Sequence[Entry]) -> None:
        """Forget what is on record."""
        self._drop(lambda: self._settle(entries))

    def refuse(self, refused: Sequence[tuple[Entry, str]]) -> None:
        """Keep what was refused, with the reason, for somebody to look at."""
        self._drop(lambda: self._refuse(refused))

    async def read(self, limit: int, most_bytes: int) -> tuple[list[Entry], bool]:
        """Return what comes next of that which is not in memory, and whether there may be more."""
        return await self._ask(lambda: self._read(limit, most_bytes))

    def flush(self) -> Future[None]:
        """Have all on disk now; for whoever waits without an event loop."""
        return self._request(self._save)

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
        self._bell.put(None)
        return answer

    def _drop(self, item: Entry | _Wish) -> None:
        self._inbox.append(item)
        if self._asleep:
            self._asleep = False
            self._bell.put(None)

    # The thread.

    def _run(self) -> None:
        heard = 0.0
        while not self._closing:
            if self._empty():
                heard = time.monotonic()
            if self._since is not None and time.monotonic() >= self._since + self._delay:
                self._save()
            if not self._closing:
                self._rest(heard)

    def _empty(self) -> bool:
        """Take everything out of the inbox, and tell whether there was anything."""
        found = False
        while self._inbox and not self._closing:
            found = True
            item = self._inbox.popleft()
            if isinstance(item, Entry):
                self._note_work(time.time() - item.at)
                self._new[item] = None
            else:
                item()
        return found

    def _rest(self, heard: float) -> None:
        """Wait until something is due, or might have come, or the bell rings."""
        now = time.monotonic()
        patience: float | None = None
        if self._since is not None:
            patience = AGAIN if self._failing else max(0.0, self._since + self._delay - now)
        elif now < heard + LINGER:
            patience = self._delay
        else:
            self._asleep = True
            if self._inbox:  # what came before it was known that we sleep rang no bell
                patience = 0.0
        with suppress(queue.Empty):
            self._bell.get(timeout=patience)
        self._asleep = False

    def _note_work(self, age: float = 0.0) -> None:
        """Begin to count the time until something must be on disk, whose first came ``age`` seconds ago."""
        if self._since is None:
            self._since = time.monotonic() - min(max(age, 0.0), self._delay)

    def _open(self, *, refused: bool) -> Left:
        with ExitStack() as undo:
            undo.callback(setattr, self, "_closing", True)
            try:
                self._claim = Claim.new(self._path)
                undo.callback(self._claim.release)
                self._shelf = open_shelf(self._path, self._claim.owner, self._most_bytes)
                undo.callback(self._shelf.close)
                left = self._shelf.adopt(refused=refused)
                self._disk = Disk(self._path)
            except (OSError, sqlite3.Error) as error:
                raise SetupError(f"There can be no spool at {self._path}: {error}.") from None
            undo.pop_all()
        self._rows = left.ours
        return left

    def _refuse(self, refused: Iterable[tuple[Entry, str]]) -> None:
        for entry, reason in refused:
            entry.reason = reason
            if entry.row is not None:
                self._refused.append(entry)
                self._note_work()

    def _settle(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.row is not None:
                self._gone.append(entry.row)
                self._note_work()
            elif entry in self._new:
                del self._new[entry]
                self._saved += len(entry.body)

    def _save(self) -> None:
        """Write all that is to be written; what fails is tried again."""
        try:
            while self._new:
                self._insert(list(islice(self._new, AT_ONCE)))
                self._disk.sync()
            if self._gone:
                self._shelf.delete(self._gone)
                self._rows -= len(self._gone)
                self._gone.clear()
            while self._refused:
                entry = self._refused[-1]
                self._shelf.refuse(entry.row, entry.reason)
                self._rows -= 1
                self._refused.pop()
        except sqlite3.Error as error:
            self._complain(error)
        else:
            self._failing = False
            self._since = None

    def _insert(self, new: Sequence[Entry]) -> None:
        for entry, row in zip(new, self._shelf.insert(new), strict=True):
            entry.row = row
            del self._new[entry]
            self._saved += len(entry.body)
            self._rows += entry.reason is None
            if entry.kept:
                self._read_to = row

    def _complain(self, error: sqlite3.Error) -> None:
        if not self._failing:
            # SQLite's sentences speak of files and pages, never of what is in them.
            log.error("spool cannot be written", spool=str(self._path), why=str(error), messages=len(self._new))
        self._failing = True
        self._since = time.monotonic()

    def _read(self, limit: int, most_bytes: int) -> tuple[list[Entry], bool]:
        self._save()
        try:
            entries = self._shelf.read(self._read_to, limit, most_bytes)
        except sqlite3.Error as error:
            log.error("spool cannot be read; what it holds is left there", spool=str(self._path), why=str(error))
            entries = []
        if entries:
            self._read_to = entries[-1].row or 0
            self._refuse([(entry, entry.reason) for entry in entries if entry.reason])
            return entries, True
        # What could not be written is not lost as long as there is memory.
        unwritten = [entry for entry in self._new if not entry.kept]
        for entry in unwritten:
            entry.kept = True
        return unwritten, False

    def _close(self) -> list[Entry]:
        self._closing = True
        self._save()
        self._disk.close()
        self._shelf.close()
        self._claim.release()
        return list(self._new)
