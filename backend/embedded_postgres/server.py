"""One PostgreSQL server on a data directory whose owner lock this process holds: prepare, start, watch, stop."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from backend.embedded_postgres.binaries import Binaries
from backend.embedded_postgres.data_directory import DataDirectory, lock
from backend.embedded_postgres.initdb import ensure_cluster, server_command
from backend.embedded_postgres.process import Child, Launcher
from backend.embedded_postgres.run_as import Account, choose_account
from backend.embedded_postgres.sockets import socket_folder
from verbatim_record.setup_error import SetupError

SILENCE_SECONDS = 60.0  # seconds without a new line in the log after which a start is given up
POLL_INTERVAL = 0.25  # seconds between two checks of a running server
START_POLL_INTERVAL = 0.01  # seconds between two checks of a starting server


class Server:
    """PostgreSQL in a directory whose owner lock the caller holds; setting ``stopping`` ends every wait."""

    def __init__(
        self, directory: DataDirectory, binaries: Binaries, stopping: threading.Event, *, durable: bool
    ) -> None:
        self._directory = directory
        self._binaries = binaries
        self._stopping = stopping
        self._durable = durable
        self._account, self.host = self._prepare()

    @contextlib.contextmanager
    def running(self) -> Iterator[Child]:
        """Start the server, yield it when it accepts connections, and stop it at the end.

        Raises SetupError if it does not start.
        """
        with self._no_server() as held:
            self._directory.remove_stale_files(self.host)
            command = server_command(self._directory, self._binaries, self.host, durable=self._durable)
            child = Launcher(self._account, self._directory.log, held).spawn(*command)
        try:
            self._await_ready(child)
            yield child
        finally:
            child.end()

    def await_end(self, child: Child) -> None:
        """Block until the server has ended or ``stopping`` is set; keep its log small meanwhile."""
        while not self._stopping.wait(POLL_INTERVAL) and not child.ended:
            self._directory.truncate_log()

    def _prepare(self) -> tuple[Account, Path]:
        with self._no_server() as held:
            account = choose_account(self._directory.path, lambda account: self._works(account, held))
            launcher = Launcher(account, self._directory.log, held)
            ensure_cluster(self._directory, self._binaries, launcher, durable=self._durable)
        return account, socket_folder(self._directory.path, self._directory.short_folder, account)

    def _works(self, account: Account, held: int) -> bool:
        reachable = 'test -x "$1" && test -w "$2"'
        programs, directory = self._binaries.folder / "postgres", self._directory.path
        return (
            Launcher(account, self._directory.log, held).run("/bin/sh", "-c", reachable, "sh", programs, directory) == 0
        )

    @contextlib.contextmanager
    def _no_server(self) -> Iterator[int]:
        """Wait until a previous server and its backends have ended, and yield the descriptor of the server lock.

        Raises SetupError after SILENCE_SECONDS.
        """
        deadline = time.monotonic() + SILENCE_SECONDS
        while True:
            with lock(self._directory.server_lock) as held:
                if held is not None:
                    yield held
                    return
            if time.monotonic() > deadline:
                raise SetupError(
                    f"An earlier PostgreSQL is still shutting down in {self._directory.path}; try again later."
                )
            self._pause()

    def _await_ready(self, child: Child) -> None:
        """Wait until the server is ready; raises SetupError if it ends, or its log does not grow for SILENCE_SECONDS.

        Recovery after a crash may take long, but writes to the log.
        """
        deadline, said = time.monotonic() + SILENCE_SECONDS, 0
        while self._directory.ready_pid() != child.pid:
            if child.ended:
                raise SetupError(
                    f"PostgreSQL does not start in {self._directory.path}: {self._directory.failure_reason()}."
                )
            if (size := self._directory.log.stat().st_size) != said:
                deadline, said = time.monotonic() + SILENCE_SECONDS, size
            if time.monotonic() > deadline:
                raise SetupError(
                    f"PostgreSQL in {self._directory.path} does not become ready; {self._directory.log} may say why."
                )
            self._pause()

    def _pause(self) -> None:
        if self._stopping.wait(START_POLL_INTERVAL):
            raise SetupError("PostgreSQL was stopped while it was starting.")
