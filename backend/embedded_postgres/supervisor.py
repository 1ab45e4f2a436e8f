"""Who looks after the server: a thread that attaches to somebody's, or owns one and heals it."""

import os
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import structlog

from backend.embedded_postgres.binaries import Binaries, find_binaries
from backend.embedded_postgres.data_directory import DataDirectory, ServerAddress, lock, open_home
from backend.embedded_postgres.initdb import NAME
from backend.embedded_postgres.server import PULSE, SILENCE_SECONDS, TICK, Server
from backend.embedded_postgres.sockets import answers, release_folder, socket_file
from backend.errors import SetupError

_QUICK = 10.0  # seconds: a server that lives no longer has died quickly
_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0)  # seconds before the next start, one for each quick death in a row

_log = structlog.get_logger(__name__)


class EmbeddedPostgres:
    """PostgreSQL in a folder, for as long as this process lives or until ``stop()``.

    A second one on the same folder, in this process or another, shares the first one's server and takes over, at the
    same address, when the first is gone. ``durable=False`` is for tests: a power cut may lose everything.
    """

    def __init__(self, folder: Path, *, durable: bool = True, binaries: Binaries | None = None) -> None:
        self.url = ""
        self.pid: int | None = None
        self.shared = False
        self.owner_pid: int | None = None
        self._folder = folder.absolute()
        self._durable = durable
        self._binaries = binaries
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._started: Future[None] = Future()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Return the server's URL as soon as it accepts connections; a SetupError says why it never will."""
        with self._turn:
            if self._thread is None or not self._thread.is_alive():
                self._stopping, self._started = threading.Event(), Future()
                self._thread = threading.Thread(target=self._keep, name="embedded-postgres", daemon=True)
                self._thread.start()
            started = self._started
        try:
            started.result()
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """End the server, if it is ours, and wait until it is gone."""
        with self._turn:
            if self._thread is not None:
                self._stopping.set()
                self._thread.join()
                self._thread = None

    def _keep(self) -> None:
        """Do everything, in one thread that lasts: Linux ends a child together with the thread that forked it."""
        try:
            self._share_or_own()
        except SetupError as error:
            self._fail(error)
        except OSError as error:
            where = error.filename or self._folder
            self._fail(SetupError(f"PostgreSQL cannot use {self._folder}: {error.strerror} ({where})."))
        except Exception as error:  # noqa: BLE001 -- whoever waits in start() must hear of it
            self._fail(error)
        finally:
            self.pid, self.shared, self.owner_pid = None, False, None
            if not self._started.done():
                self._started.set_exception(SetupError("PostgreSQL was stopped while it was starting."))

    def _fail(self, error: Exception) -> None:
        if not self._started.done():
            self._started.set_exception(error)
        elif not self._stopping.is_set():
            _log.error("embedded_postgres_gone", folder=str(self._folder), reason=str(error))

    def _share_or_own(self) -> None:
        binaries = self._binaries or find_binaries()
        home = open_home(self._folder, binaries)
        deadline = time.monotonic() + SILENCE_SECONDS
        while True:
            with lock(home.owner_lock) as held:
                if held is not None:
                    self._own(home, binaries)
                    return
            self._share(home)
            if not self._started.done() and time.monotonic() > deadline:
                raise SetupError(_held(home))
            if self._stopping.wait(PULSE if self._started.done() else TICK):
                return

    def _share(self, home: DataDirectory) -> None:
        """Use the owner's server, if it is there; it, and the owner, may have changed since the last look."""
        endpoint, self.pid = home.read_endpoint(), home.ready_pid()
        if endpoint is None or endpoint.host is None or self.pid is None:
            return
        if not self._started.done() and not answers(socket_file(Path(endpoint.host))):
            return
        if self._durable and not endpoint.durable:
            raise SetupError(
                f"Process {endpoint.owner} runs the PostgreSQL in {home.path} without durability, as tests do; "
                "stop it, or use another folder."
            )
        self.shared, self.owner_pid = True, endpoint.owner
        self._open(endpoint.host)

    def _own(self, home: DataDirectory, binaries: Binaries) -> None:
        self.pid, self.shared, self.owner_pid = None, False, None
        home.announce(ServerAddress(os.getpid(), self._durable))
        try:
            home.turn_log()
            self._heal(home, Server(home, binaries, self._stopping, durable=self._durable))
        finally:
            home.withdraw()
            release_folder(home.short_folder)

    def _heal(self, home: DataDirectory, server: Server) -> None:
        """Let the server live, and live again, until it dies too often too quickly."""
        quick = 0
        while True:
            born = time.monotonic()
            try:
                self._live(home, server)
            except (SetupError, OSError):
                if not self._started.done():
                    raise
            if self._stopping.is_set():
                return
            quick = quick + 1 if time.monotonic() - born < _QUICK else 1
            if quick > len(_PAUSES):
                raise SetupError(f"PostgreSQL died {quick} times in a row; {home.log} may say why.")
            _log.warning("embedded_postgres_died", log=str(home.log), quick_deaths=quick)
            self._stopping.wait(_PAUSES[quick - 1])

    def _live(self, home: DataDirectory, server: Server) -> None:
        try:
            with server.running() as child:
                home.announce(ServerAddress(os.getpid(), self._durable, str(server.host)))
                self.pid = child.pid
                self._open(str(server.host))
                server.await_end(child)
        finally:
            self.pid = None

    def _open(self, host: str) -> None:
        # With the port, which PGPORT would else be taken for.
        self.url = f"postgresql+asyncpg://{NAME}@/{NAME}?host={quote(host)}&port=5432"
        if not self._started.done():
            self._started.set_result(None)


def _held(home: DataDirectory) -> str:
    endpoint = home.read_endpoint()
    who = f"Process {endpoint.owner}" if endpoint else "Another process"
    return f"{who} holds {home.path}, but its PostgreSQL does not answer; stop it, or use another folder."
