"""What is done to them. Each fault lasts as long as its function, and says what it did."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import asyncpg

from backend.migrations import runner
from tests.chaos.clocked import Clock
from tests.chaos.fleet import REPOSITORY, Member
from tests.chaos.plan import Plan
from tests.chaos.proxy import Mode, Proxy
from tests.chaos.stage import Stage
from tests.disks import fill

MOST_CONNECTIONS: Final = 200


@dataclass
class Scene:
    """All that can be broken."""

    plan: Plan
    stage: Stage
    services: list[Member]
    readers: list[Member]
    doors: list[Proxy]  # before each service
    database: list[Proxy]  # behind each service
    clock: Clock
    folder: Path  # of the plan and the journals
    ports: list[int]  # of the services, without a proxy
    stops: list[float] = field(default_factory=list)  # seconds that services took to stop


Act = Callable[[Scene, Random], Awaitable[str]]


@dataclass(frozen=True)
class Fault:
    """Two that need the same thing never happen at once."""

    name: str
    needs: str
    act: Act


FAULTS: Final[dict[str, Fault]] = {}


def _fault(needs: str) -> Callable[[Act], Act]:
    def enter(act: Act) -> Act:
        name = getattr(act, "__name__", "").replace("_", " ")
        FAULTS[name] = Fault(name, needs, act)
        return act

    return enter


@_fault("services")
async def kill_a_worker(scene: Scene, dice: Random) -> str:
    pids = [pid for service in scene.services for pid in service.pids]
    return _signal(dice.choice(pids), signal.SIGKILL) if pids else "none runs"


@_fault("services")
async def kill_a_supervisor(scene: Scene, dice: Random) -> str:
    """Its workers must not outlive it, or the next would not get its port."""
    pid = dice.choice(scene.services).pid
    return _signal(pid, signal.SIGKILL) if pid else "it does not run"


@_fault("services")
async def stop_a_service(scene: Scene, dice: Random) -> str:
    seconds = await dice.choice(scene.services).terminate()
    scene.stops.append(seconds)
    return f"it took {seconds:.1f} s"


@_fault("services")
async def suspend_a_worker(scene: Scene, dice: Random) -> str:
    """It wakes up long after everybody has given it up, and goes on with what it had in hand."""
    pids = [pid for service in scene.services for pid in service.pids]
    if not pids:
        return "none runs"
    pid = dice.choice(pids)
    said = _signal(pid, signal.SIGSTOP)
    await asyncio.sleep(dice.uniform(1, 9))
    _signal(pid, signal.SIGCONT)
    return said


@_fault("readers")
async def kill_a_reader(scene: Scene, dice: Random) -> str:
    [pid] = dice.choice(scene.readers).pids or [0]
    return _signal(pid, signal.SIGKILL) if pid else "it does not run"


@_fault("postgres")
async def kill_postgres(scene: Scene, _dice: Random) -> str:
    return await _end_postgres(scene, signal.SIGKILL)


@_fault("postgres")
async def shut_postgres_down_at_once(scene: Scene, _dice: Random) -> str:
    return await _end_postgres(scene, signal.SIGQUIT)


@_fault("postgres")
async def kill_a_backend(scene: Scene, dice: Random) -> str:
    """PostgreSQL then ends all others and recovers, as it cannot know what the dead one did to shared memory."""
    async with _stranger(scene) as stranger:
        pids = await stranger.fetch("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'")
    return _signal(dice.choice(pids)[0], signal.SIGKILL)


@_fault("postgres")
async def suspend_backends(scene: Scene, dice: Random) -> str:
    """They keep their locks meanwhile, and what they were asked happens when everybody has given them up."""
    async with _stranger(scene) as stranger:
        found = await stranger.fetch(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    some = dice.sample(found, dice.randint(min(1, len(found)), len(found)))
    for each in some:
        _signal(each[0], signal.SIGSTOP)
    try:
        await asyncio.sleep(dice.uniform(1, 12))
    finally:
        for each in some:
            _signal(each[0], signal.SIGCONT)
    return f"{len(some)} suspended"


@_fault("postgres")
async def end_all_backends(scene: Scene, dice: Random) -> str:
    ended = 0
    for _ in range(dice.randint(1, 5)):
        async with _stranger(scene) as stranger:
            ended += await stranger.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            )
        await asyncio.sleep(dice.uniform(0, 0.5))
    return f"{ended} ended"


@_fault("postgres")
async def take_all_connections(scene: Scene, dice: Random) -> str:
    """Whoever loses a connection now, and the service's are ended, gets no other."""
    async with AsyncExitStack() as stack:
        taken = [await stack.enter_async_context(_stranger(scene))]
        for _ in range(5):
            ended = await _end_services_backends(taken[0])
            with suppress(asyncpg.TooManyConnectionsError):
                while len(taken) < MOST_CONNECTIONS:
                    taken.append(await stack.enter_async_context(_stranger(scene)))
            if not ended:
                break
        await asyncio.sleep(dice.uniform(1, 4))
    return f"{len(taken)} taken"


@_fault("postgres")
async def fill_the_disk(scene: Scene, dice: Random) -> str:
    if not scene.stage.small_disk:
        return "skipped: only root may mount a small disk"
    ballast = scene.stage.folder / "ballast"
    await asyncio.to_thread(fill, ballast)
    try:
        await asyncio.sleep(dice.uniform(2, 5))
    finally:
        ballast.unlink()
    return "full"


@_fault("locks")
async def lock_conversations(scene: Scene, dice: Random) -> str:
    some = dice.sample(scene.plan.conversations, dice.randint(1, len(scene.plan.conversations)))
    async with _stranger(scene) as stranger, stranger.transaction():
        await stranger.execute("SELECT FROM conversations WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE", some)
        await asyncio.sleep(dice.uniform(0.2, 6))
    return f"{len(some)} locked"


@_fault("locks")
async def lock_the_table(scene: Scene, dice: Random) -> str:
    """Also takes every connection of the pools: each waits for the table."""
    table = dice.choice(("messages", "conversations"))
    async with _stranger(scene) as stranger, stranger.transaction():
        await stranger.execute(f"LOCK TABLE {table}")
        await asyncio.sleep(dice.uniform(0.2, 7))
    return table


@_fault("locks")
async def migrate_anew(scene: Scene, dice: Random) -> str:
    """Try every step of every revision again, as `verbatim adopt` does where something was dropped by hand."""
    await asyncio.sleep(dice.uniform(0, 2))
    await asyncio.to_thread(runner.upgrade, scene.stage.url, anew=True)
    return "all revisions"


@_fault("clock")
async def step_the_clock_back(scene: Scene, dice: Random) -> str:
    scene.clock.off = -dice.uniform(1, 240)
    said = f"{scene.clock.off:.0f} s"
    await asyncio.sleep(dice.uniform(1, 10))
    scene.clock.off = 0
    return said


@_fault("doors")
async def spoil_a_door(scene: Scene, dice: Random) -> str:
    return await _spoil(dice.choice(scene.doors), dice)


@_fault("database")
async def spoil_the_way_to_the_database(scene: Scene, dice: Random) -> str:
    return await _spoil(dice.choice(scene.database), dice)


@_fault("database")
async def spoil_both_ways_to_the_database(scene: Scene, dice: Random) -> str:
    return ", ".join(await asyncio.gather(*(_spoil(proxy, dice) for proxy in scene.database)))


@_fault("hostile")
async def hostile_client(scene: Scene, dice: Random) -> str:
    """A process of its own attacks one service, past the proxies, which could not bear it."""
    port, seed, seconds = dice.choice(scene.ports), dice.getrandbits(32), dice.uniform(2, 6)
    arguments = (scene.folder / "plan.json", port, seed, seconds, scene.folder / f"hostile-{seed}.jsonl")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.hostile", *map(str, arguments), cwd=REPOSITORY, stdout=PIPE
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return said.decode().strip() or f"it failed with status {process.returncode}"


async def _spoil(proxy: Proxy, dice: Random) -> str:
    mode = dice.choice(list(Mode))
    delay = dice.uniform(0.02, 0.8) if mode is Mode.PASS or dice.random() < 0.2 else 0.0
    forever = dice.random() < 0.5
    proxy.turn(mode, delay=delay)
    await asyncio.sleep(dice.uniform(0.5, 8))
    proxy.turn(Mode.PASS)
    if not forever:
        proxy.end_links(deaf_only=True)
    return f"{mode.name}, {delay:.2f} s late{', silent for ever' if forever else ''}"


async def _end_postgres(scene: Scene, number: signal.Signals) -> str:
    pid = scene.stage.pid
    if pid is None:
        return "it does not run"
    said = _signal(pid, number)
    async with asyncio.timeout(30):
        while scene.stage.pid in {pid, None}:
            await asyncio.sleep(0.05)
    return said


def _stranger(scene: Scene) -> "_Stranger":
    return _Stranger(scene.stage)


class _Stranger:
    """Somebody else's connection to the database."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def __aenter__(self) -> asyncpg.Connection:
        self._connection = await self._stage.connect()
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        self._connection.terminate()


async def _end_services_backends(stranger: asyncpg.Connection) -> bool:
    """End the service's connections, so that it needs new ones, and tell whether there were any."""
    ended: int = await stranger.fetchval(
        """
        SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND query <> ''
        """
    )
    return ended > 0


def _signal(pid: int, number: signal.Signals) -> str:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return f"{pid} was gone"
    return f"{number.name} to {pid}"
