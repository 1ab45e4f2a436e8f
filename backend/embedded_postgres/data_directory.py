"""The folder of one PostgreSQL major version: the cluster, two locks, the log and the owner's address."""

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
from verbatim_record.setup_error import SetupError

_LARGEST_LOG = 8 << 20
_SEVERITY = re.compile(r"(?:FATAL|PANIC|ERROR|error):\s+(.+)")


@dataclass(frozen=True)
class ServerAddress:
    """The owner's process id, and the folder of its server's socket once the server accepts connections.

    The owner writes it to a file for the other processes. ``durable`` is False if the server runs without fsync.
    """

    owner: int
    durable: bool
    host: str | None = None


@dataclass(frozen=True)
class DataDirectory:
    """The folder ``path`` of one major version."""

    path: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory (PGDATA)."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        """The server's log, which also has the output of initdb."""
        return self.path / "postgresql.log"

    @property
    def short_folder(self) -> Path:
        """A symbolic link to the socket's folder, used when the path of this folder is too long for a socket."""
        return self.path / "socket"

    @property
    def owner_lock(self) -> Path:
        """The lock of the process that supervises the server."""
        return self.path / "owner.lock"

    @property
    def server_lock(self) -> Path:
        """The lock that every process of a server inherits."""
        return self.path / "server.lock"

    def write_endpoint(self, endpoint: ServerAddress) -> None:
        """Replace the owner's address by ``endpoint``, atomically."""
        draft = self._endpoint.with_suffix(".new")
        draft.write_text(json.dumps(asdict(endpoint)), encoding="utf-8")
        draft.replace(self._endpoint)

    def read_endpoint(self) -> ServerAddress | None:
        """Return the owner's address, or None if there is none or it cannot be read."""
        try:
            return ServerAddress(**json.loads(self._endpoint.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def remove_endpoint(self) -> None:
        """Remove the owner's address, if there is one."""
        self._endpoint.unlink(missing_ok=True)

    def ready_pid(self) -> int | None:
        """Return the process id in postmaster.pid if its state is ready, else None; the process may have died since."""
        lines = self._postmaster()
        return int(lines[0]) if len(lines) > 7 and lines[7].strip() == "ready" else None  # noqa: PLR2004 -- line 8

    def remove_stale_files(self, host: Path) -> None:
        """Remove the files that a killed server left behind; the caller holds the server lock.

        Raises SetupError if a server that was started by hand, and so does not hold the lock, answers on its socket.
        """
        match self._postmaster():
            case [pid, _, _, port, folder, *_] if folder and answers(socket_file(Path(folder), port)):
                raise SetupError(
                    f"Another PostgreSQL, which Verbatim did not start (process {pid}), uses {self.data}; stop it and "
                    "try again."
                )
        listening = socket_file(host)
        for leftover in (self.data / "postmaster.pid", listening, listening.with_name(f"{listening.name}.lock")):
            leftover.unlink(missing_ok=True)

    def rotate_log(self) -> None:
        """Rename the log, replacing the previous one, so that the server begins a new log."""
        if self.log.exists():
            self.log.replace(self._previous_log)

    def truncate_log(self) -> None:
        """Copy and truncate a log of more than 8 MiB; the server opened it for appending, so it continues at 0."""
        with contextlib.suppress(OSError):  # the log was removed, or the disk is full: no reason to stop the server
            if self.log.stat().st_size > _LARGEST_LOG:
                shutil.copyfile(self.log, self._previous_log)
                os.truncate(self.log, 0)

    def failure_reason(self) -> str:
        """Return the log's last error without its final full stop, or the last line if it has no error."""
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


def open_data_directory(folder: Path, binaries: Binaries) -> DataDirectory:
    """Return the folder of this major version inside ``folder``, and create it if it is missing.

    Raises SetupError if ``folder`` holds data of another major version only, or is not a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise SetupError(f"{folder} is not a folder; PostgreSQL needs a folder for its data.")
    directory = DataDirectory(folder / f"postgresql-{binaries.major}")
    others = sorted(data.parent.name.removeprefix("postgresql-") for data in folder.glob("postgresql-*/data"))
    if others and not directory.data.exists():
        raise SetupError(
            f"{folder} holds data of PostgreSQL {' and '.join(others)}, but the programs here are {binaries}; "
            f"install PostgreSQL {others[-1]} again, or migrate the data with pg_dump or pg_upgrade first."
        )
    # Root's folder is searchable by others, because the server may have to run as another user; its content is not.
    folder.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    directory.path.mkdir(mode=0o700, exist_ok=True)
    directory.path.chmod(0o700)  # the server has no password: every user who can open the socket may connect
    return directory


@contextlib.contextmanager
def lock(path: Path) -> Iterator[int | None]:
    """Try to take the lock on the file ``path``, and yield its descriptor, or None if another process holds it.

    At the end the descriptor is closed, not unlocked, so that a child which inherited it keeps the lock.
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
