"""Who PostgreSQL runs as: it refuses root, and it refuses users that the system cannot name.

In a user namespace we stay who we are for the file system and are nobody for PostgreSQL: closed folders stay closed
and nothing changes hands. Where that is not allowed (many containers), root can still become another user, if that
user reaches the folder. Once the folder belongs to such a user it stays so: its owner says who runs the server.
"""

import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backend.errors import SetupError


@dataclass(frozen=True)
class Account:
    """A user, and the way to become it; `str()` of it is what the launcher reads."""

    way: Literal["self", "namespace", "user"]
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.way}:{self.uid}:{self.gid}"

    @property
    def owner(self) -> int:
        """The owner of its files, as we see them."""
        return self.uid if self.way == "user" else os.geteuid()

    def give(self, path: Path) -> None:
        """Let it own one thing that we have made."""
        if self.way == "user":
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose_account(home: Path, works: Callable[[Account], bool]) -> Account:
    """Return the first account that ``works``, with ``home`` handed over to it if need be."""
    if os.geteuid() != 0 and _is_known(os.geteuid()):
        return Account("self", os.geteuid(), os.getegid())
    for account in _candidates(home.stat()):
        if _try(account, home, works):
            return account
    if os.geteuid() == 0:
        raise SetupError(
            f"PostgreSQL refuses to run as root, and neither a user namespace nor an unprivileged user can use {home} "
            "here; run this as an ordinary user, or use a folder that others may pass through (mode 711)."
        )
    raise SetupError(
        f"PostgreSQL refuses to run as user {os.geteuid()}, who has no name on this system; "
        "name it in /etc/passwd, or run this as a user who is there."
    )


def _candidates(home: os.stat_result) -> Iterator[Account]:
    if os.geteuid() == 0 and home.st_uid != 0:
        yield Account("user", home.st_uid, home.st_gid)
        return
    users = [user for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody")]
    for user in users[:1]:
        yield Account("namespace", user.pw_uid, user.pw_gid)
    if os.geteuid() == 0:
        for user in users:
            yield Account("user", user.pw_uid, user.pw_gid)


def _try(account: Account, home: Path, works: Callable[[Account], bool]) -> bool:
    before = home.stat()
    if account.owner == before.st_uid:
        return works(account)
    try:
        _hand_over(home, account.uid, account.gid)
    except OSError:  # root without the capability, or without that user, as in some containers
        return False
    if not works(account):
        _hand_over(home, before.st_uid, before.st_gid)
        return False
    return True


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _hand_over(home: Path, uid: int, gid: int) -> None:
    """Change the owner of our own folder, which is closed to everybody else, and of all that is in it."""
    for folder, _, files in os.walk(home):
        os.chown(folder, uid, gid)
        for name in files:
            os.chown(Path(folder) / name, uid, gid, follow_symlinks=False)
