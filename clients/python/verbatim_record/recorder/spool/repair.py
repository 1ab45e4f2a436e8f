"""Opening of a damaged spool: the file is set aside, and a new one gets the rows that SQLite can still read.

A killed process is no damage: it may leave an incomplete transaction in SQLite's log, which SQLite ignores. But a disk
may fail, or a copy of the file may be cut short. Then the rows before the first unreadable place and those behind the
last one are copied. The rows in between stay in the file that was set aside, where `sqlite3 … .recover` finds more than
a query can. A message that is sent twice because of that is recorded once, because it has the same id.
"""

import logging
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from glob import escape
from itertools import count
from pathlib import Path
from typing import Any, Final

from verbatim_record.recorder.spool.sqlite_store import BODY, CHECKSUM, MARK, TIME, SQLiteStore, is_ours

# Rows that are not messages are copied, too: they are refused when they are read, and kept.
_ROWS: Final = f"""
    SELECT row, owner, coalesce({TIME}, 0.0), coalesce({BODY}, x''), coalesce({CHECKSUM}, 0), reason
    FROM spool WHERE row >= ? ORDER BY row
"""  # noqa: S608 -- made of constants
_BACKWARD: Final = "SELECT -row FROM spool WHERE row > ? ORDER BY row DESC"
_LOWEST: Final = -(2**63)  # the first number that SQLite can give a row
_MAGIC: Final = b"SQLite format 3\0"
_MARK_AT: Final = 68  # the byte of the application_id in the header of every SQLite file

log: Final = logging.getLogger(__name__)


def is_spool(path: Path) -> bool:
    """Return whether the first bytes of the file at ``path`` are those of a recorder's spool. Raises OSError."""
    with path.open("rb") as file:
        header = file.read(_MARK_AT + 4)
    return header.startswith(_MAGIC) and int.from_bytes(header[_MARK_AT:], "big") == MARK


def open_store(path: Path, owner: str, most_bytes: int) -> SQLiteStore:
    """Open the spool and return it; a damaged one is set aside and replaced. Raises OSError and sqlite3.Error."""
    try:
        return SQLiteStore(path, owner, most_bytes)
    except sqlite3.OperationalError:
        raise  # it cannot be opened, which does not show that its content is damaged
    except sqlite3.DatabaseError as error:
        why = str(error)
    aside = _set_aside(path)
    store = SQLiteStore(path, owner, most_bytes)
    try:
        copied = store.copy(_readable(aside))
    except sqlite3.Error:
        store.close()
        raise
    log.error(
        "spool %(spool)s was damaged (%(why)s); %(copied)d messages were copied; for the rest run: %(run)s",
        {"spool": str(path), "why": why, "copied": copied, "run": _rescue(aside)},
    )
    return store


def rescues(spool: Path) -> list[str]:
    """Return the shell commands that recover and send the rest of every damaged file set aside for ``spool``."""
    damaged = spool.parent.glob(f"{escape(spool.name)}.damaged-*")
    return [_rescue(each) for each in sorted(damaged) if each.name.rpartition("-")[2].isdecimal()]


def _rescue(aside: Path) -> str:
    damaged, recovered = shlex.quote(str(aside)), shlex.quote(f"{aside}.recovered")
    return f"sqlite3 {damaged} .recover | sqlite3 {recovered}; verbatim replay {recovered}"


def _set_aside(path: Path) -> Path:
    aside = next(each for n in count(1) if not (each := path.with_name(f"{path.name}.damaged-{n}")).exists())
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _readable(damaged: Path) -> Iterator[Sequence[object]]:
    """Yield the rows before the first unreadable place, then those behind the last one."""
    with closing(sqlite3.connect(damaged)) as file, suppress(sqlite3.DatabaseError):
        file.execute("PRAGMA trusted_schema = OFF")
        file.execute("PRAGMA writable_schema = ON")  # without it SQLite reads nothing of a file that was cut short
        if not is_ours(file):
            return
        file.text_factory = bytes  # text need not be UTF-8
        reached = _LOWEST
        with suppress(sqlite3.DatabaseError):
            for number, *columns in _rising(file.execute(_ROWS, (_LOWEST,))):
                reached = number
                yield columns
            return
        behind = None
        with suppress(sqlite3.DatabaseError):
            for (number,) in _rising(file.execute(_BACKWARD, (reached,))):
                behind = -number
        if behind is not None:
            yield from (columns for _, *columns in _rising(file.execute(_ROWS, (behind,))))


def _rising(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Yield ``rows`` while their numbers rise, because a damaged B-tree may have cycles."""
    last = _LOWEST - 1
    for row in rows:
        if row[0] <= last:
            raise sqlite3.DatabaseError("its rows are not in order")
        last = row[0]
        yield row
