"""Opening a spool that may be damaged: what can still be read goes on, the file itself is kept for whoever wants more.

Most damage is none. A process that is killed in the middle of a transaction leaves the end of one in SQLite's log,
which is ignored the next time. But a disk may fail, or a copy be cut short. Then the rows are asked for in order. Where
the file cannot give the next one, the numbers after it are asked for one by one; after 100,000 such numbers in leaps,
because a number may be anything in a damaged file. What was read gets new numbers.
"""

import sqlite3
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import structlog

from backend.recorder.sqlite_store import BODY, CHECKSUM, MARK, PAGE, TIME, SQLiteStore, is_ours

_NEXT: Final = f"""
    SELECT row, owner, coalesce({TIME}, 0.0), {BODY}, coalesce({CHECKSUM}, 0), reason
    FROM spool WHERE row >= ? ORDER BY row LIMIT 1
"""  # noqa: S608 -- made of constants
_ONE_BY_ONE: Final = 100_000  # numbers that the file gives no answer for; beyond them the way leads in leaps
_NUMBERS: Final = 2**63  # SQLite has no row with this number or a higher one
_MAGIC: Final = b"SQLite format 3\0"
# Places in the header of every SQLite file.
_PAGES_AT: Final = 28
_MARK_AT: Final = 68
_MOST_BYTES: Final = 2**36  # larger is no length, but damage

log = structlog.get_logger(__name__)

_Row = tuple[object, ...]


def is_spool(path: Path) -> bool:
    """Tell whether the file at ``path`` is a recorder's spool, by its first bytes. Raises OSError."""
    with path.open("rb") as file:
        header = file.read(_MARK_AT + 4)
    return header.startswith(_MAGIC) and int.from_bytes(header[_MARK_AT:], "big") == MARK


def open_shelf(path: Path, owner: str, most_bytes: int) -> SQLiteStore:
    """Open the spool, and make a new one of what is left where it is damaged. Raises OSError and sqlite3.Error."""
    try:
        return SQLiteStore(path, owner, most_bytes)
    except sqlite3.OperationalError:
        raise  # it cannot be opened, which says nothing of what is in it
    except sqlite3.DatabaseError as error:
        why = str(error)
    aside = _set_aside(path)
    store = SQLiteStore(path, owner, most_bytes)
    found: Counter[str] = Counter(rescued=0, lost=0)
    try:
        store.copy(_counted(_rows(aside), found))
    except sqlite3.Error:
        store.close()
        raise
    log.error("spool was damaged", spool=str(path), why=why, **found, kept_as=aside.name)
    return store


def _counted(rows: Iterator[_Row | None], found: Counter[str]) -> Iterator[_Row]:
    for row in rows:
        found["lost" if row is None else "rescued"] += 1
        if row is not None:
            yield row


def _set_aside(path: Path) -> Path:
    aside = next(each for n in count(1) if not (each := path.with_name(f"{path.name}.damaged-{n}")).exists())
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _rows(damaged: Path) -> Iterator[_Row | None]:
    """Yield every row that can be read, and None for each number that the file gives no answer for."""
    _fill_up(damaged)
    with closing(sqlite3.connect(damaged)) as file:
        if not _may_be_read(file):
            return
        file.text_factory = bytes  # which need not be UTF-8
        row, patience = 1, _ONE_BY_ONE
        while row < _NUMBERS:
            try:
                found = _next(file, row)
            except sqlite3.DatabaseError:
                yield None
                patience -= 1
                row = row + 1 if patience > 0 else _beyond(file, row)
                continue
            if found is None:
                return
            number, *columns = found
            yield tuple(columns) if columns[2] is not None else None
            row = number + 1


def _may_be_read(file: sqlite3.Connection) -> bool:
    file.execute("PRAGMA trusted_schema = OFF")
    with suppress(sqlite3.DatabaseError):
        return is_ours(file)
    return False


def _next(file: sqlite3.Connection, row: int) -> tuple[Any, ...] | None:
    """Return the first row from that number on; raises sqlite3.DatabaseError where the file does not give it."""
    found: tuple[Any, ...] | None = file.execute(_NEXT, (row,)).fetchone()
    if found is not None and found[0] < row:  # in a damaged tree the search may end anywhere
        raise sqlite3.DatabaseError("its rows are not in order")
    return found


def _beyond(file: sqlite3.Connection, row: int) -> int:
    """Return the first number for which the file gives an answer again, found in leaps that double."""
    leap = 1
    while row + leap < _NUMBERS and not _answers(file, row + leap):
        leap *= 2
    numbers = range(row + leap // 2, min(row + leap, _NUMBERS))
    return numbers.start + bisect_left(numbers, 1, key=lambda number: _answers(file, number))


def _answers(file: sqlite3.Connection, row: int) -> bool:
    try:
        _next(file, row)
    except sqlite3.DatabaseError:
        return False
    return True


def _fill_up(damaged: Path) -> None:
    """Give a file that was cut short its length again: SQLite reads nothing at all of one that lacks a page."""
    with damaged.open("r+b") as file:
        pages = int.from_bytes(file.read(_PAGES_AT + 4)[_PAGES_AT:], "big")
        if damaged.stat().st_size < pages * PAGE <= _MOST_BYTES:
            file.truncate(pages * PAGE)
