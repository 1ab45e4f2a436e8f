"""Opening a spool that may be damaged: what can still be read goes on, the file itself is kept for whoever wants more.

Most damage is none. A process that is killed in the middle of a transaction leaves the end of one in SQLite's log,
which is ignored the next time. But a disk may fail, or a copy be cut short; then every row is asked for by its number,
and only those are lost that the file cannot give.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Final

import structlog

from backend.recorder.shelf import MARK, PAGE, Shelf

_COLUMNS: Final = "owner, at, body, checksum, reason"
_ROW: Final = f"SELECT {_COLUMNS} FROM spool WHERE row = ?"  # noqa: S608 -- ours
_ENDS: Final = ("SELECT seq FROM sqlite_sequence WHERE name = 'spool'", "SELECT max(row) FROM spool")
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


def open_shelf(path: Path, owner: str, most_bytes: int) -> Shelf:
    """Open the spool, and make a new one of what is left where it is damaged. Raises OSError and sqlite3.Error."""
    try:
        return Shelf(path, owner, most_bytes)
    except sqlite3.OperationalError:
        raise  # it cannot be opened, which says nothing of what is in it
    except sqlite3.DatabaseError as error:
        why = str(error)
    aside = _set_aside(path)
    shelf = Shelf(path, owner, most_bytes)
    rows = list(_rows(aside))
    rescued = [row for row in rows if row is not None]
    shelf.copy(rescued)
    lost = len(rows) - len(rescued)
    log.error("spool was damaged", spool=str(path), why=why, rescued=len(rescued), lost=lost, kept_as=aside.name)
    return shelf


def _set_aside(path: Path) -> Path:
    aside = next(each for n in count(1) if not (each := path.with_name(f"{path.name}.damaged-{n}")).exists())
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _rows(damaged: Path) -> Iterator[_Row | None]:
    """Yield every row that can be read, and None for every one that cannot."""
    _fill_up(damaged)
    with closing(sqlite3.connect(damaged)) as file:
        for row in range(1, _last(file) + 1):
            try:
                found: _Row | None = file.execute(_ROW, (row,)).fetchone()
            except sqlite3.DatabaseError:
                yield None
            else:
                if found is not None:
                    yield found


def _fill_up(damaged: Path) -> None:
    """Give a file that was cut short its length again: SQLite reads nothing at all of one that lacks a page."""
    with damaged.open("r+b") as file:
        pages = int.from_bytes(file.read(_PAGES_AT + 4)[_PAGES_AT:], "big")
        if damaged.stat().st_size < pages * PAGE <= _MOST_BYTES:
            file.truncate(pages * PAGE)


def _last(file: sqlite3.Connection) -> int:
    for question in _ENDS:
        with suppress(sqlite3.DatabaseError):
            if found := file.execute(question).fetchone():
                return int(found[0] or 0)
    return 0
