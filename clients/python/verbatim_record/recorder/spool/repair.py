"""Opening of a damaged spool: the file is set aside, and a new one gets the rows that SQLite can still read.

A killed process is no damage: it may leave an incomplete transaction in SQLite's log, which SQLite ignores. But a disk
may fail, or a copy of the file may be cut short. Then the rows before the first unreadable place and those behind the
last one are copied. The rows in between stay in the file that was set aside, where `sqlite3 … .recover` finds more than
a query can. A message that is sent twice because of that is recorded once, because it has the same id.
"""

import fcntl
import logging
import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from glob import escape
from itertools import count
from pathlib import Path
from typing import Any, Final

from verbatim_record.recorder.faults import CarefulLog
from verbatim_record.recorder.spool.sqlite_store import BODY, CHECKSUM, MARK, TIME, SQLiteStore, is_ours

# Rows that are not messages are copied, too: they are refused when they are read, and kept.
_ROWS: Final = f"""
    SELECT row, owner, coalesce({TIME}, 0.0), coalesce({BODY}, x''), coalesce({CHECKSUM}, 0), reason
    FROM spool WHERE row >= ? ORDER BY row
"""  # noqa: S608 -- made of constants
_BACKWARD: Final = "SELECT -row FROM spool WHERE row > ? ORDER BY row DESC"
_LOWEST: Final = -(2**63)  # the first number that SQLite can give a row
_NO_LIMIT: Final = 2**40  # bytes
_MAGIC: Final = b"SQLite format 3\0"
_MARK_AT: Final = 68  # the byte of the application_id in the header of every SQLite file

log: Final = CarefulLog(logging.getLogger(__name__))


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
    except sqlite3.DatabaseError:
        pass
    with _alone(path):
        try:
            return SQLiteStore(path, owner, most_bytes)  # another recorder has repaired it meanwhile
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            _repair(path, owner, str(error))
    return SQLiteStore(path, owner, most_bytes)


def _repair(path: Path, owner: str, why: str) -> None:
    """Replace the damaged file by one with the rows that can be read.

    The new file takes its place when it is complete: after a failure (of a full disk) or the end of the process the
    next recorder must find what is damaged, and not a new and empty spool.
    """
    new = path.with_name(f"{path.name}.repaired")
    _remove(new)
    try:
        copied = _copy(path, new, owner)
        aside = _set_aside(path)
        new.replace(path)
    except (OSError, sqlite3.Error):
        _remove(new)
        raise
    log.error(
        "spool %(spool)s was damaged (%(why)s); %(copied)d messages were copied; for the rest run: %(run)s",
        {"spool": str(path), "why": why, "copied": copied, "run": _rescue(aside)},
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of the spool's folder: of two that repair at once one would set aside what the other uses."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some file systems lock files only
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _copy(path: Path, new: Path, owner: str) -> int:
    store = SQLiteStore(new, owner, _NO_LIMIT)  # the rows are on the disk already, whatever this recorder's limit is
    try:
        copied = store.copy(_readable(path))
    finally:
        store.close()
    if new.with_name(f"{new.name}-wal").exists():  # closing could not carry the log over
        raise sqlite3.OperationalError("the repaired spool cannot be written")
    return copied


def _remove(path: Path) -> None:
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def rescues(spool: Path) -> list[str]:
    """Return the shell commands that recover and send the rest of every damaged file set aside for ``spool``."""
    damaged = spool.parent.glob(f"{escape(spool.name)}.damaged-*")
    return [_rescue(each) for each in sorted(damaged) if each.name.rpartition("-")[2].isdecimal()]


def _rescue(aside: Path) -> str:
    damaged, recovered = shlex.quote(str(aside)), shlex.quote(f"{aside}.recovered")
    return f"sqlite3 {damaged} .recover | sqlite3 {recovered}; verbatim replay {recovered}"


def _set_aside(path: Path) -> Path:
    aside = next(each for n in count(1) if not (each := path.with_name(f"{path.name}.damaged-{n}")).exists())
    try:
        aside.hardlink_to(path)  # the file stays, or another recorder would make a new one in its place
    except OSError:  # a file system without such links
        path.rename(aside)
    for suffix in ("-wal", "-shm"):
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
