"""One server on a folder that we own: made ready, started, watched, ended."""

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
from backend.embedded_postgres.sockets import claim_folder
from backend.errors import SetupError

SILENCE_SECONDS = 60.0  # seconds without a sign of life before a start is given up
PULSE = 0.25  # seconds between two looks at what runs
TICK = 0.01  # seconds between two looks at what starts


class Server:
    """PostgreSQL in a home whose owner lock we hold; ``stopping`` cuts every wait short."""

    def __init__(self, home: DataDirectory, binaries: Binaries, stopping: threading.Event, *, durable: bool) -> None:
        self._home = home
        self._binaries = binaries
        self._stopping = stopping
        self._durable = durable
        self._account, self.host = self._prepare()

    @contextlib.contextmanager
    def running(self) -> Iterator[Child]:
        """Start it, yield it when it accepts connections, and end it on the way out."""
        with self._no_server() as held:
            self._home.clear(self.host)
            command = server_command(self._home, self._binaries, self.host, durable=self._durable)
            child = Launcher(self._account, self._home.log, held).spawn(*command)
        try:
            self._await_ready(child)
            yield child
        finally:
            child.end()

    def await_end(self, child: Child) -> None:
        """Return when it has died, or is no longer wanted."""
        while not self._stopping.wait(PULSE) and not child.ended:
            self._home.trim_log()

    def _prepare(self) -> tuple[Account, Path]:
        with self._no_server() as held:
            account = choose_account(self._home.path, lambda account: self._works(account, held))
            launcher = Launcher(account, self._home.log, held)
            ensure_cluster(self._home, self._binaries, launcher, durable=self._durable)
        return account, claim_folder(self._home.path, self._home.short_folder, account)

    def _works(self, account: Account, held: int) -> bool:
        reachable = 'test -x "$1" && test -w "$2"'
        programs, home = self._binaries.folder / "postgres", self._home.path
        return Launcher(account, self._home.log, held).run("/bin/sh", "-c", reachable, "sh", programs, home) == 0

    @contextlib.contextmanager
    def _no_server(self) -> Iterator[int]:
        """Hold the server lock, waiting for a dead owner's server, or a killed server's backends, to be gone."""
        deadline = time.monotonic() + SILENCE_SECONDS
        while True:
            with lock(self._home.server_lock) as held:
                if held is not None:
                    yield held
                    return
            if time.monotonic() > deadline:
                raise SetupError(f"An earlier PostgreSQL is still shutting down in {self._home.path}; try again later.")
            self._pause()

    def _await_ready(self, child: Child) -> None:
        """Wait as long as it lives and either says something or is not silent for too long: recovery may be slow."""
        deadline, said = time.monotonic() + SILENCE_SECONDS, 0
        while self._home.ready_pid() != child.pid:
            if child.ended:
                raise SetupError(f"PostgreSQL does not start in {self._home.path}: {self._home.last_words()}.")
            if (size := self._home.log.stat().st_size) != said:
                deadline, said = time.monotonic() + SILENCE_SECONDS, size
            if time.monotonic() > deadline:
                raise SetupError(f"PostgreSQL in {self._home.path} does not get ready; {self._home.log} may say why.")
            self._pause()

    def _pause(self) -> None:
        if self._stopping.wait(TICK):
            raise SetupError("PostgreSQL was stopped while it was starting.")
