"""Whose rows are whose: several recorders, of several processes, share one spool, and each sends its own.

Every recorder holds a lock for as long as it lives, on a file beside the spool that bears its name. The kernel lets
go of the lock when the process ends, however it ends; so whoever can take the lock of another knows that it is gone,
and may send what it left. Names are random and never used again.
"""

import fcntl
import os
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import Final, Self

_NAME: Final = "[0-9a-f]" * 16


class Ownership:
    """The right to send the rows of one owner."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def new(cls, spool: Path) -> Self:
        """Return the claim of a new owner. Raises OSError."""
        while True:
            if claim := cls.take(spool, os.urandom(8).hex()):
                return claim

    @classmethod
    def take(cls, spool: Path, owner: str) -> Self | None:
        """Return the claim to the rows of ``owner``, or None while somebody lives who holds it. Raises OSError."""
        path = spool.with_name(f"{spool.name}-{owner}")
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever swept up meanwhile may have taken the file away from under the lock.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return cls(path, descriptor)
        except OSError:
            pass
        os.close(descriptor)
        return None

    @staticmethod
    def names(spool: Path) -> set[str]:
        """Return the owners whose locks are there, held or not."""
        return {path.name[-16:] for path in spool.parent.glob(f"{escape(spool.name)}-{_NAME}")}

    @property
    def owner(self) -> str:
        """Whose rows they are."""
        return self._path.name[-16:]

    def release(self) -> None:
        """Let the rows go, and leave nothing behind."""
        with suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)
