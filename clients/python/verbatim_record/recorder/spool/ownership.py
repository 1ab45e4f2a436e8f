"""Ownership of a spool's rows: recorders of several processes share one spool, and each sends only its own rows.

Every recorder holds a file lock (flock) beside the spool, in a file that is named after it. The kernel releases the
lock when the process ends in any way. So a recorder that can take another one's lock knows that the other has ended,
and sends the rows that it left. The names are random and never used again.
"""

import fcntl
import os
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Final, Self

_NAME: Final = "[0-9a-f]" * 16
_HELD: Final[set[int]] = set()  # the descriptors of all locks that this process holds


def _let_go() -> None:
    """Close the locks in a forked child: it would hold them longer than the process that writes the rows."""
    for descriptor in _HELD:
        os.close(descriptor)
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)


class Ownership:
    """The right to send the rows of one owner, which is held until `release`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        _HELD.add(descriptor)

    @classmethod
    def new(cls, spool: Path) -> Self:
        """Return the ownership of a new, random owner. Raises OSError."""
        while True:
            owner = os.urandom(8).hex()
            try:
                if claim := cls.take(spool, owner):
                    return claim
            except OSError:
                with suppress(OSError):
                    cls._path_of(spool, owner).unlink()
                raise

    @classmethod
    def take(cls, spool: Path, owner: str) -> Self | None:
        """Return the ownership of the rows of ``owner``, or None while another process holds it. Raises OSError."""
        path = cls._path_of(spool, owner)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another recorder may have removed the file between open and flock; the lock is then on a removed file.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return cls(path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        except OSError:  # such as of a file system without locks: another name would get no lock either
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @staticmethod
    def _path_of(spool: Path, owner: str) -> Path:
        return spool.with_name(f"{spool.name}-{owner}")

    @staticmethod
    def names(spool: Path) -> set[str]:
        """Return the names of all owners with a lock file beside the spool, held or not."""
        return {path.name[-16:] for path in spool.parent.glob(f"{escape(spool.name)}-{_NAME}")}

    @property
    def owner(self) -> str:
        """The owner's name, 16 hexadecimal digits."""
        return self._path.name[-16:]

    def release(self) -> None:
        """Release the lock and remove its file; the rows may then be taken over."""
        with suppress(OSError):
            self._path.unlink()
        _HELD.discard(self._descriptor)
        os.close(self._descriptor)
