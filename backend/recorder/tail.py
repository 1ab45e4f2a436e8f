"""The end of SQLite's write-ahead log: whether a transaction was being written when the process ended.

SQLite passes over such a tail without a word, which is right for the database and not enough for whoever said
something. A log is a header of 32 bytes and frames of 24 bytes and a page; frames of this log bear its salt (older
ones, of before it was begun anew, another), and the last frame of a transaction tells the size of the database.
"""

from pathlib import Path
from typing import Final

_HEADER: Final = 32
_FRAME: Final = 24
_PAGES: Final = {2**power for power in range(9, 17)}  # bytes, as SQLite has them; another size is damage


def is_half_written(spool: Path) -> bool:
    """Tell whether the log of ``spool`` ends inside a transaction; by whoever holds the lock to write."""
    try:
        with spool.with_name(f"{spool.name}-wal").open("rb") as log:
            header = log.read(_HEADER)
            page = int.from_bytes(header[8:12], "big")
            half = False
            if page not in _PAGES:
                return False
            while len(frame := log.read(_FRAME)) >= _FRAME - 8 and frame[8:16] == header[16:24]:
                whole = len(log.read(page)) == page
                half = not (whole and any(frame[4:8]))
            return half
    except FileNotFoundError:
        return False
