"""The folder of one PostgreSQL major version, and what is kept in it beside the data."""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from backend.embedded_postgres.binaries import Binaries
from backend.embedded_postgres.sockets import answers, socket_file
from backend.errors import SetupError

_LARGEST_LOG = 8 << 20
_SEVERITY = re.compile(r"(?:FATAL|PANIC|ERROR|error):\s+(.+)")


@dataclass(frozen=True)
class ServerAddress:
    """What the owner of a folder tells whoever else comes: who it is, and where its server listens, once it does."""

    owner: int
    durable: bool
    host: str | None = None


@dataclass(frozen=True)
class DataDirectory:
    """One major version's folder."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def log(self) -> Path:
        return self.path / "postgresql.log"

    @property
    def short_folder(self) -> Path:
        """A link to where the server listens, when a socket cannot have a path like ours."""
        return self.path / "socket"

    @property
    def owner_lock(self) -> Path:
        return self.path / "owner.lock"

    @property
    def server_lock(self) -> Path:
        return self.path / "server.lock"

    def announce(self, endpoint: ServerAddress) -> None:
        """Say who we are, in place of whoever was here before."""
        draft = self._endpoint.with_suffix(".new")
        draft.write_text(json.dumps(asdict(endpoint)), encoding="utf-8")
        draft.replace(self._endpoint)

    def read_endpoint(self) -> ServerAddress | None:
        try:
            return ServerAddress(**json.loads(self._endpoint.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def withdraw(self) -> None:
        self._endpoint.unlink(missing_ok=True)

    def ready_pid(self) -> int | None:
        """Return the postmaster that calls itself ready; whether it lives is for the caller to know."""
        lines = self._postmaster()
        return int(lines[0]) if len(lines) > 7 and lines[7].strip() == "ready" else None  # noqa: PLR2004 -- line 8

    def clear(self, host: Path) -> None:
        """Remove what a server that was killed left behind; wants the server lock.

        The lock speaks for our servers only. One that somebody started by hand answers on its socket.
        """
        match self._postmaster():
            case [pid, _, _, port, folder, *_] if folder and answers(socket_file(Path(folder), port)):
                raise SetupError(
                    f"A PostgreSQL that was not started by us (process {pid}) uses {self.data}; stop it and try again."
                )
        listening = socket_file(host)
        for leftover in (self.data / "postmaster.pid", listening, listening.with_name(f"{listening.name}.lock")):
            leftover.unlink(missing_ok=True)

    def turn_log(self) -> None:
        """Begin a new log and keep the previous one."""
        if self.log.exists():
            self.log.replace(self._previous_log)

    def trim_log(self) -> None:
        """Empty a log that has grown too large, keeping a copy. The server appends, so it goes on at the beginning."""
        with contextlib.suppress(OSError):  # somebody removed it, or the disk is full: no reason to end a server
            if self.log.stat().st_size > _LARGEST_LOG:
                shutil.copyfile(self.log, self._previous_log)
                os.truncate(self.log, 0)

    def last_words(self) -> str:
        """Return why it ended, as far as the log knows."""
        lines = [line for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        reasons = [found[1] for line in lines if (found := _SEVERITY.search(line))]
        return (reasons or lines or ["its log is empty"])[-1].rstrip(".")

    @property
    def _endpoint(self) -> Path:
        return self.path / "endpoint.json"

    @property
    def _previous_log(self) -> Path:
        return self.path / "postgresql.log.1"

    def _postmaster(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []


def open_home(folder: Path, binaries: Binaries) -> DataDirectory:
    """Return the folder for this major version, made if it is not there; never beside another version's data."""
    if folder.exists() and not folder.is_dir():
        raise SetupError(f"{folder} is not a folder; PostgreSQL needs one for its data.")
    home = DataDirectory(folder / f"postgresql-{binaries.major}")
    others = sorted(data.parent.name.removeprefix("postgresql-") for data in folder.glob("postgresql-*/data"))
    if others and not home.data.exists():
        raise SetupError(
            f"{folder} holds data of PostgreSQL {' and '.join(others)}, but the programs here are {binaries}; "
            f"install PostgreSQL {others[-1]} again, or carry the data over with pg_dump or pg_upgrade first."
        )
    # Root's may be passed through, because the server may have to run as somebody else; what is inside is closed.
    folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    home.path.mkdir(mode=0o700, exist_ok=True)
    home.path.chmod(0o700)  # whoever reaches the socket is let in
    return home


@contextlib.contextmanager
def lock(path: Path) -> Iterator[int | None]:
    """Hold the lock, yielding its descriptor, or None if somebody else has it.

    It is given up by closing, not by unlocking: a child that inherited the descriptor keeps holding it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor if _lock(descriptor) else None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
