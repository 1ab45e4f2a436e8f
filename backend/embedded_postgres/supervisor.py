"""The supervisor thread: it uses the running server of another process, or owns a server and restarts it."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import structlog

from backend.embedded_postgres.binaries import Binaries, find_binaries
from backend.embedded_postgres.data_directory import DataDirectory, ServerAddress, lock, open_data_directory
from backend.embedded_postgres.initdb import NAME
from backend.embedded_postgres.server import POLL_INTERVAL, SILENCE_SECONDS, START_POLL_INTERVAL, Server
from backend.embedded_postgres.sockets import answers, release_folder, socket_file
from verbatim_record.setup_error import SetupError

_QUICK_EXIT = 10.0  # seconds; the end of a server that ran for a shorter time counts as quick
_RESTART_DELAYS = (0.0, 0.5, 1.0, 2.0, 4.0)  # seconds before the next start, one for each quick end in a row

_log = structlog.get_logger(__name__)


class EmbeddedPostgres:
    """A PostgreSQL server in ``folder`` that runs until ``stop()`` or until this process ends.

    A second instance on the same folder, in this process or another, uses the first one's server, and takes over at the
    same address when the first has ended. ``durable=False`` is for tests: a power failure may lose everything.
    ``meanwhile`` is called while the server starts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        durable: bool = True,
        binaries: Binaries | None = None,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        self.url = ""
        self.pid: int | None = None
        self.shared = False
        self.owner_pid: int | None = None
        self._folder = folder.absolute()
        self._durable = durable
        self._binaries = binaries
        self._meanwhile = meanwhile
        self._lock = threading.Lock()
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
        """Start the server and return its URL when it accepts connections; raises SetupError if it does not start."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._stopping, self._started = threading.Event(), Future()
                self._thread = threading.Thread(target=self._run, name="embedded-postgres", daemon=True)
                self._thread.start()
            started = self._started
        try:
            if self._meanwhile:
                self._meanwhile()
            started.result()
        except BaseException:
            self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Stop the server, if this instance owns it, and wait for its end; calling it twice is safe."""
        with self._lock:
            if self._thread is not None:
                self._stopping.set()
                self._thread.join()
                self._thread = None

    def _run(self) -> None:
        """Run the supervisor; in one thread, because Linux ends the server together with the thread that forked it."""
        try:
            self._attach_or_own()
        except SetupError as error:
            self._fail(error)
        except OSError as error:
            where = error.filename or self._folder
            self._fail(SetupError(f"PostgreSQL cannot use {self._folder}: {error.strerror} ({where})."))
        except Exception as error:  # noqa: BLE001 -- start() raises it in the caller's thread
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

    def _attach_or_own(self) -> None:
        binaries = self._binaries or find_binaries()
        directory = open_data_directory(self._folder, binaries)
        deadline = time.monotonic() + SILENCE_SECONDS
        while True:
            with lock(directory.owner_lock) as held:
                if held is not None:
                    self._own(directory, binaries)
                    return
            self._attach(directory)
            if not self._started.done() and time.monotonic() > deadline:
                raise SetupError(_unresponsive_owner(directory))
            if self._stopping.wait(POLL_INTERVAL if self._started.done() else START_POLL_INTERVAL):
                return

    def _attach(self, directory: DataDirectory) -> None:
        """Use the owner's server, if it is running; owner and server may have changed since the last call."""
        endpoint, self.pid = directory.read_endpoint(), directory.ready_pid()
        if endpoint is None or endpoint.host is None or self.pid is None:
            return
        if not self._started.done() and not answers(socket_file(Path(endpoint.host))):
            return
        if self._durable and not endpoint.durable:
            raise SetupError(
                f"Process {endpoint.owner} runs the PostgreSQL in {directory.path} without durability, as tests do, "
                "so a power failure could lose messages; stop it, or use another folder."
            )
        self.shared, self.owner_pid = True, endpoint.owner
        self._publish(endpoint.host)

    def _own(self, directory: DataDirectory, binaries: Binaries) -> None:
        self.pid, self.shared, self.owner_pid = None, False, None
        directory.write_endpoint(ServerAddress(os.getpid(), self._durable))
        try:
            directory.rotate_log()
            self._restart_on_exit(directory, Server(directory, binaries, self._stopping, durable=self._durable))
        finally:
            directory.remove_endpoint()
            release_folder(directory.short_folder)

    def _restart_on_exit(self, directory: DataDirectory, server: Server) -> None:
        """Run the server, and restart it whenever it ends; raises SetupError after six quick ends in a row."""
        quick = 0
        while True:
            started = time.monotonic()
            try:
                self._run_server(directory, server)
            except (SetupError, OSError):
                if not self._started.done():
                    raise
            if self._stopping.is_set():
                return
            quick = quick + 1 if time.monotonic() - started < _QUICK_EXIT else 1
            if quick > len(_RESTART_DELAYS):
                raise SetupError(f"PostgreSQL ended {quick} times in a row; {directory.log} may say why.")
            _log.warning("embedded_postgres_died", log=str(directory.log), quick_deaths=quick)
            self._stopping.wait(_RESTART_DELAYS[quick - 1])

    def _run_server(self, directory: DataDirectory, server: Server) -> None:
        try:
            with server.running() as child:
                directory.write_endpoint(ServerAddress(os.getpid(), self._durable, str(server.host)))
                self.pid = child.pid
                self._publish(str(server.host))
                server.await_end(child)
        finally:
            self.pid = None

    def _publish(self, host: str) -> None:
        # The URL names the port, or asyncpg would use PGPORT.
        self.url = f"postgresql+asyncpg://{NAME}@/{NAME}?host={quote(host)}&port=5432"
        if not self._started.done():
            self._started.set_result(None)


def _unresponsive_owner(directory: DataDirectory) -> str:
    endpoint = directory.read_endpoint()
    who = f"Process {endpoint.owner}" if endpoint else "Another process"
    return f"{who} holds {directory.path}, but its PostgreSQL does not answer; stop it, or use another folder."
