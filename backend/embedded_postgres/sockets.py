"""Where the server listens: a Unix socket in its own folder, or in a short one when that path does not do."""

import contextlib
import os
import re
import socket
import stat
import tempfile
from pathlib import Path

from backend.embedded_postgres.run_as import Account

_LONGEST = 100  # bytes: the kernel's limit is 104 on macOS and 108 on Linux, one of them for the final NUL
# asyncpg takes a comma for the end of a host, and decodes percent signs twice.
_PLAIN = re.compile(r"[A-Za-z0-9_./ -]+")


def socket_file(host: Path, port: str = "5432") -> Path:
    """Return the name that PostgreSQL and its clients give the socket in the folder ``host``."""
    return host / f".s.PGSQL.{port}"


def answers(listening: Path) -> bool:
    """Whether anybody listens there."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(listening))
        except OSError:
            return False
    return True


def claim_folder(wanted: Path, link: Path, account: Account) -> Path:
    """Return ``wanted`` if a socket in it has a short and plain path, else a short folder, which ``link`` remembers.

    The short one is closed to others and its name cannot be guessed. It is remembered so that the address is the
    same next time, but believed only while nobody else can have made it.
    """
    if _does(wanted):
        return wanted
    if link.is_symlink():
        remembered = link.readlink()
        if _claim(remembered, account):
            return remembered
    usual = Path(tempfile.gettempdir())
    parent = usual if _does(usual / "verbatim-12345678") else Path("/tmp")  # noqa: S108 -- mkdtemp makes it safe
    made = Path(tempfile.mkdtemp(prefix="verbatim-", dir=parent))
    account.give(made)
    link.unlink(missing_ok=True)
    link.symlink_to(made)
    return made


def release_folder(link: Path) -> None:
    """Remove the short folder, if there is one and nobody uses it."""
    if link.is_symlink():
        with contextlib.suppress(OSError):
            link.readlink().rmdir()


def _does(folder: Path) -> bool:
    return len(os.fsencode(socket_file(folder))) <= _LONGEST and _PLAIN.fullmatch(str(folder)) is not None


def _claim(folder: Path, account: Account) -> bool:
    """Make the folder if it is not there, and say whether it is ours alone."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        return False
    else:
        account.give(folder)
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == account.owner and not stat.S_IMODE(status.st_mode) & 0o077
