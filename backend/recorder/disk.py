"""From the kernel's memory to the disk itself, in a thread of its own, because nobody knows how long a disk takes.

What a process has written survives its end at once, and that of the machine when it has been synced. The thread that
writes must not wait for the second, or it is late for the first: one slow sync of a hundred milliseconds, and what was
said meanwhile would be nowhere. So it writes without syncing (`synchronous=NORMAL`, with which the end of the machine
costs the last transactions and nothing else), and each transaction is synced here, right after. Here, too, the log is
carried over into the file when it has grown; writers go on meanwhile.
"""

import os
import queue
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import structlog

LONGEST_LOG: Final = 4 * 2**20  # bytes

log = structlog.get_logger(__name__)


class Disk:
    """Syncs what is written to the spool at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._wishes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="spool-disk", daemon=True).start()

    def sync(self) -> None:
        """Have on disk, soon, what has been written; returns at once."""
        self._wishes.put(True)

    def close(self) -> None:
        """Let the thread end."""
        self._wishes.put(False)

    def _run(self) -> None:
        going = True
        while going:
            going = self._wishes.get()
            with suppress(queue.Empty):
                while True:  # one sync does for all that was written before it
                    going = self._wishes.get_nowait() and going
            try:
                self._sync()
            except FileNotFoundError:
                pass  # whoever closed the file last has carried the log over
            except (OSError, sqlite3.Error) as error:
                log.error("spool cannot be synced", spool=str(self._path), why=type(error).__name__)

    def _sync(self) -> None:
        with self._log.open("rb") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        if size > LONGEST_LOG:
            # The gentle way never comes to an end while somebody writes; then writers wait, for one sync.
            mode = "PASSIVE" if size < 2 * LONGEST_LOG else "RESTART"
            with closing(sqlite3.connect(self._path)) as spool:
                spool.execute(f"PRAGMA wal_checkpoint({mode})")
