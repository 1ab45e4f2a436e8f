"""The user that PostgreSQL runs as: it refuses to run as root, and as a user id without a name.

In a user namespace the process keeps its user for the file system and has another one for PostgreSQL, so no file
changes its owner. Where user namespaces are not allowed (many containers), root starts the server as another user, if
that user can access the folder. The folder then belongs to that user, and later starts use the folder's owner.
"""

import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from verbatim_record.setup_error import SetupError


@dataclass(frozen=True)
class Account:
    """A user, and the way in which the launcher switches to it; `str()` gives the launcher's argument ACCOUNT."""

    way: Literal["self", "namespace", "user"]
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.way}:{self.uid}:{self.gid}"

    @property
    def owner(self) -> int:
        """The user id that owns the server's files, as this process sees them."""
        return self.uid if self.way == "user" else os.geteuid()

    def chown(self, path: Path) -> None:
        """Make the account the owner of the file or folder ``path``."""
        if self.way == "user":
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose_account(directory: Path, works: Callable[[Account], bool]) -> Account:
    """Return the first account for which ``works`` returns True, and make it the owner of ``directory`` if needed.

    Raises SetupError if no account works.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return Account("self", os.geteuid(), os.getegid())
    for account in _candidates(directory.stat()):
        if _try(account, directory, works):
            return account
    if os.geteuid() == 0:
        raise SetupError(
            "PostgreSQL refuses to run as root, and neither a user namespace nor an unprivileged user can use "
            f"{directory} here; run this as an ordinary user, or use a folder that other users can enter (mode 711)."
        )
    raise SetupError(
        f"PostgreSQL refuses to run as user {os.geteuid()}, which has no name on this system; "
        "add it to /etc/passwd, or run this as a user that is listed there."
    )


def _candidates(directory: os.stat_result) -> Iterator[Account]:
    if os.geteuid() == 0 and directory.st_uid != 0:
        yield Account("user", directory.st_uid, directory.st_gid)
        return
    users = [user for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody")]
    for user in users[:1]:
        yield Account("namespace", user.pw_uid, user.pw_gid)
    if os.geteuid() == 0:
        for user in users:
            yield Account("user", user.pw_uid, user.pw_gid)


def _try(account: Account, directory: Path, works: Callable[[Account], bool]) -> bool:
    before = directory.stat()
    if account.owner == before.st_uid:
        return works(account)
    try:
        _chown_all(directory, account.uid, account.gid)
    except OSError:  # root without the capability, or without that user, as in some containers
        return False
    if not works(account):
        _chown_all(directory, before.st_uid, before.st_gid)
        return False
    return True


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _chown_all(directory: Path, uid: int, gid: int) -> None:
    """Change the owner of ``directory``, whose mode is 700, and of everything in it."""
    for folder, _, files in os.walk(directory):
        os.chown(folder, uid, gid)
        for name in files:
            os.chown(Path(folder) / name, uid, gid, follow_symlinks=False)
