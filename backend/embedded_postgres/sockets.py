"""The server's Unix socket: in the data directory, or in a short folder if that path is too long or has odd letters."""

import contextlib
import os
import re
import socket
import stat
import tempfile
from pathlib import Path

from backend.embedded_postgres.run_as import Account

_LONGEST = 100  # bytes; the kernel's limit, with the final NUL, is 104 on macOS and 108 on Linux
# asyncpg splits hosts at a comma, and decodes percent signs twice.
_PLAIN = re.compile(r"[A-Za-z0-9_./ -]+")


def socket_file(host: Path, port: str = "5432") -> Path:
    """Return the path that PostgreSQL and its clients give to the socket in the folder ``host``."""
    return host / f".s.PGSQL.{port}"


def answers(listening: Path) -> bool:
    """Return whether a process accepts connections on the socket ``listening``."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(listening))
        except OSError:
            return False
    return True


def socket_folder(wanted: Path, link: Path, account: Account) -> Path:
    """Return ``wanted`` if the path of a socket in it is usable, else a short temporary folder.

    The temporary folder has a random name and mode 700. The symbolic link ``link`` stores it, so that the address stays
    the same at the next start; it is used again only if its owner and mode show that no other user made it.
    """
    if _is_usable(wanted):
        return wanted
    if link.is_symlink():
        remembered = link.readlink()
        if _create_or_verify(remembered, account):
            return remembered
    usual = Path(tempfile.gettempdir())
    parent = usual if _is_usable(usual / "verbatim-12345678") else Path("/tmp")  # noqa: S108 -- mkdtemp makes it safe
    made = Path(tempfile.mkdtemp(prefix="verbatim-", dir=parent))
    account.chown(made)
    link.unlink(missing_ok=True)
    link.symlink_to(made)
    return made


def release_folder(link: Path) -> None:
    """Remove the temporary folder that ``link`` names, if there is one and it is empty."""
    if link.is_symlink():
        with contextlib.suppress(OSError):
            link.readlink().rmdir()


def _is_usable(folder: Path) -> bool:
    return len(os.fsencode(socket_file(folder))) <= _LONGEST and _PLAIN.fullmatch(str(folder)) is not None


def _create_or_verify(folder: Path, account: Account) -> bool:
    """Create ``folder`` if it is missing, and return whether it belongs to ``account`` and is closed to others."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        return False
    else:
        account.chown(folder)
    status = folder.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == account.owner and not stat.S_IMODE(status.st_mode) & 0o077
