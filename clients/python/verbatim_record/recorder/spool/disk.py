"""fsync of the spool's write-ahead log, in a thread of its own, because a sync may take any time.

Data that a process has written survives the end of the process at once, and a power failure only after a sync. The
spool's thread must not wait for a sync: during one of 100 ms, new messages would be in memory alone. So that thread
writes without syncing (SQLite's `synchronous=NORMAL`, with which a power failure loses only the last transactions), and
this thread syncs right after each transaction. It also checkpoints the log into the database file when the log exceeds
`LONGEST_LOG`; the spool's thread can write meanwhile.
"""

import logging
import os
import queue
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from verbatim_record.recorder.faults import CarefulLog, place_of

LONGEST_LOG: Final = 4 * 2**20  # bytes

log: Final = CarefulLog(logging.getLogger(__name__))


class Disk:
    """Syncs the log of the spool at ``path`` to disk, in a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._requests: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="spool-disk", daemon=True).start()

    def sync(self) -> None:
        """Request a sync of everything written so far, and return at once."""
        self._requests.put(True)

    def close(self) -> None:
        """End the thread after the syncs that were requested."""
        self._requests.put(False)

    def _run(self) -> None:
        running = True
        while running:
            running = self._requests.get()
            with suppress(queue.Empty):
                while True:  # one sync covers everything that was written before it
                    running = self._requests.get_nowait() and running
            try:
                self._sync()
            except FileNotFoundError:
                pass  # closing the last connection checkpoints and removes the log
            except (OSError, sqlite3.Error) as error:
                log.error(
                    "spool %(spool)s cannot be synced: %(why)s", {"spool": str(self._path), "why": place_of(error)}
                )

    def _sync(self) -> None:
        with self._log.open("rb") as file:
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
        if size > LONGEST_LOG:
            # PASSIVE may never finish while a writer is active; RESTART makes writers wait, for one sync.
            mode = "PASSIVE" if size < 2 * LONGEST_LOG else "RESTART"
            with closing(sqlite3.connect(self._path)) as spool:
                spool.execute(f"PRAGMA wal_checkpoint({mode})")
