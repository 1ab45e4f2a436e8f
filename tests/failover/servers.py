"""A primary and a standby, made from the same cluster, each a server of its own on this machine."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil

from backend.embedded_postgres import find_binaries
from backend.embedded_postgres.data_directory import DataDirectory, lock, open_data_directory
from backend.embedded_postgres.initdb import NAME
from backend.embedded_postgres.process import Child, Launcher
from backend.embedded_postgres.run_as import Account, choose_account
from tests.ports import free_ports
from tests.waiting import PATIENCE


def cut_power(postmaster: psutil.Process) -> None:
    """End a server as a power cut would: every process, before any of them can say anything."""
    processes = [postmaster, *postmaster.children(recursive=True)]
    postmaster.suspend()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=PATIENCE)


@dataclass
class Node:
    """One server, on a port of its own; ``settings`` are what its command line says."""

    data: Path
    launcher: Launcher
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    child: Child | None = None

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"postgresql://{NAME}@{self.place}/{NAME}"

    def start(self) -> None:
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port)}
        settings |= {"unix_socket_directories": "", "shared_buffers": "32MB"}
        words = [f"--{name}={value}" for name, value in (settings | self.settings).items()]
        self.child = self.launcher.spawn(find_binaries().folder / "postgres", "-D", self.data, *words)

    def kill(self) -> None:
        """Cut its power."""
        assert self.child
        cut_power(psutil.Process(self.child.pid))
        assert self.child.ended

    async def connect(self) -> asyncpg.Connection:
        """Connect as soon as it lets anybody in."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await asyncpg.connect(self.url)
                except (OSError, asyncpg.CannotConnectNowError):
                    assert self.child
                    assert not self.child.ended, self.launcher.log.read_text()
                    await asyncio.sleep(0.01)

    async def ask(self, question: str) -> object:
        connection = await self.connect()
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    async def ask_all(self, *questions: str) -> None:
        for question in questions:
            await self.ask(question)

    async def await_true(self, question: str) -> None:
        connection = await self.connect()
        try:
            async with asyncio.timeout(PATIENCE):
                while not await connection.fetchval(question):
                    await asyncio.sleep(0.01)
        finally:
            await connection.close()

    async def promote(self) -> None:
        assert await self.ask("SELECT pg_promote()")


@dataclass
class Pair:
    primary: Node
    standby: Node

    @property
    def url(self) -> str:
        """Both, as libpq names several hosts; which of them is the primary is for the client to find."""
        places = f"{self.standby.place},{self.primary.place}"
        return f"postgresql://{NAME}@{places}/{NAME}?target_session_attrs=read-write"

    async def begin(self) -> None:
        """Wait until the standby follows."""
        await self.primary.await_true("SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")

    async def catch_up(self) -> None:
        position = await self.primary.ask("SELECT pg_current_wal_flush_lsn()::text")
        await self.standby.await_true(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")

    async def cut_the_link(self) -> None:
        """Let the standby have all there is, and nothing any more."""
        await self.catch_up()
        connection = await self.standby.connect()
        await connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()
        await self.standby.await_true("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")


@contextlib.contextmanager
def pair(cluster: Path, folder: Path, *, synchronous: bool) -> Iterator[Pair]:
    """Start a primary and its standby as copies of ``cluster``.

    With ``synchronous`` the primary tells nobody of a commit that the standby has not.
    """
    binaries = find_binaries()
    home = open_data_directory(folder, binaries)
    nodes: list[Node] = []
    with lock(home.server_lock) as held:
        assert held is not None
        account = choose_account(home.path, lambda account: _works(account, home, held))
        for name in ("primary", "standby"):
            data = home.path / name
            shutil.copytree(cluster, data)
            _give(account, data)
            nodes.append(Node(data, Launcher(account, home.path / f"{name}.log", held), free_ports(1)[0]))
        primary, standby = nodes
        if synchronous:
            primary.settings["synchronous_standby_names"] = "standby"
        with (standby.data / "postgresql.auto.conf").open("a") as conf:
            conf.write(
                f"primary_conninfo = 'host=127.0.0.1 port={primary.port} user={NAME} application_name=standby'\n"
                "wal_retrieve_retry_interval = 100\n"
            )
        (standby.data / "standby.signal").touch()
        account.chown(standby.data / "standby.signal")
        try:
            for node in nodes:
                node.start()
            yield Pair(primary, standby)
        finally:
            for node in nodes:
                if node.child:
                    node.child.end()


def _works(account: Account, home: DataDirectory, held: int) -> bool:
    return Launcher(account, home.log, held).run("/bin/sh", "-c", 'test -w "$1"', "sh", home.path) == 0


def _give(account: Account, folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        account.chown(path)
    folder.chmod(0o700)
