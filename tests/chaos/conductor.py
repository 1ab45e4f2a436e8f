"""One run: everything up, the faults, everything healed, everybody finished, and the verdict."""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from tests.chaos import checker
from tests.chaos.checker import Row, Verdict
from tests.chaos.clocked import Clock
from tests.chaos.faults import Scene
from tests.chaos.fleet import GRACE, SHUTDOWN, Member
from tests.chaos.journal import Journal, read
from tests.chaos.plan import MARK, Plan
from tests.chaos.proxy import Mode, Proxy
from tests.chaos.schedule import play
from tests.chaos.stage import Stage, stage
from tests.ports import free_ports

READERS: Final = ("pages", "live", "feed")
PATIENCE: Final = 120.0  # seconds for everything that waits for somebody else


@dataclass(frozen=True)
class Dose:
    """How much of it."""

    seed: int
    seconds: float
    clients: int = 4
    services: int = 2
    workers: int = 2
    rate: float = 10  # requests a second of each client


@dataclass
class Outcome:
    """What came of it."""

    dose: Dose
    verdict: Verdict
    stored: int
    faults: Counter[str]


@dataclass(frozen=True)
class _Run:
    faults: Counter[str]
    stops: list[float]
    rows: list[Row]
    counters: dict[str, int]


def conduct(dose: Dose, folder: Path) -> Outcome:
    """Do all of it in ``folder``."""
    with stage(folder) as prepared:
        run = asyncio.run(_conduct(dose, folder, prepared))
        clients = [read(path) for kind in ("client", "hostile") for path in folder.glob(f"{kind}-*.jsonl")]
        readers = {kind: read(folder / f"{kind}.jsonl") for kind in READERS}
        verdict = checker.check(clients, readers, run.rows, run.counters)
        checker.check_logs(verdict, folder.rglob("*.log"), MARK)
        checker.check_stops(verdict, run.stops, GRACE)
    return Outcome(dose, verdict, len(run.rows), run.faults)


async def _conduct(dose: Dose, folder: Path, prepared: Stage) -> _Run:
    async with AsyncExitStack() as stack:
        scene = await _scene(stack, dose, folder, prepared)
        await _open(scene.plan)
        clients = [await _client(stack, folder, number) for number in range(dose.clients)]
        scene.readers.extend([await _reader(stack, folder, kind) for kind in READERS])
        faults = await play(scene, dose.seconds, Journal(folder / "faults.jsonl"))
        await _heal(scene)
        await _finish(clients, "")
        rows, counters = await prepared.rows()
        await _finish(scene.readers, json.dumps(counters) + "\n")
    return _Run(faults, scene.stops, rows, counters)


async def _scene(stack: AsyncExitStack, dose: Dose, folder: Path, prepared: Stage) -> Scene:
    """Bring up the services, with a proxy before and one behind each."""
    ports = free_ports(dose.services)
    doors = [await stack.enter_async_context(Proxy(partial(int, port))) for port in ports]
    database = [await stack.enter_async_context(Proxy(lambda: prepared.socket)) for _ in ports]
    clock = folder / "clock"
    services = []
    for port, proxy in zip(ports, database, strict=True):
        environment = {
            "DATABASE_URL": prepared.through(proxy.port),
            "VERBATIM_SHUTDOWN_TIMEOUT": str(SHUTDOWN),
            "CHAOS_CLOCK": str(clock),
        }
        command = ["tests.chaos.clocked", "serve", "--port", str(port), "--workers", str(dose.workers), "--wait", "60"]
        log = folder / f"service-{port}.log"
        services.append(await _member(stack, Member(f"service {port}", command, log, environment)))
    addresses = [f"http://127.0.0.1:{proxy.port}/api/v1" for proxy in doors]
    plan = Plan.make(dose.seed, dose.clients, dose.rate, addresses)
    plan.save(folder / "plan.json")
    return Scene(plan, prepared, services, [], doors, database, Clock(clock), folder, ports)


async def _heal(scene: Scene) -> None:
    """Break nothing any more. What a network has lost stays lost: silent connections are for others to give up."""
    for proxy in (*scene.doors, *scene.database):
        proxy.turn(Mode.PASS)
    scene.clock.off = 0
    await scene.stage.restore()
    await _all_ready(scene.plan)


async def _client(stack: AsyncExitStack, folder: Path, number: int) -> Member:
    command = ["tests.chaos.client", str(folder / "plan.json"), str(number), str(folder / f"client-{number}.jsonl")]
    return await _member(stack, Member(f"client {number}", command, folder / f"client-{number}.log"))


async def _reader(stack: AsyncExitStack, folder: Path, kind: str) -> Member:
    command = ["tests.chaos.reader", kind, str(folder / "plan.json"), str(folder / f"{kind}.jsonl")]
    return await _member(stack, Member(kind, command, folder / f"{kind}.log"))


async def _member(stack: AsyncExitStack, member: Member) -> Member:
    await member.start()
    stack.push_async_callback(member.end)
    return member


async def _open(plan: Plan) -> None:
    """Wait for every service, and open the conversations."""
    await _all_ready(plan)
    async with httpx.AsyncClient(timeout=PATIENCE) as http:
        for conversation in plan.conversations:
            body = {"id": conversation, "context_type": "voice"}
            (await http.post(f"{plan.doors[0]}/conversations", json=body)).raise_for_status()


async def _all_ready(plan: Plan) -> None:
    async with httpx.AsyncClient(timeout=5) as http, asyncio.timeout(PATIENCE):
        for door in plan.doors:
            while not await _ready(http, door):
                await asyncio.sleep(0.1)


async def _ready(http: httpx.AsyncClient, door: str) -> bool:
    try:
        return (await http.get(door.replace("/api/v1", "/readyz"))).is_success
    except httpx.TransportError:
        return False


async def _finish(members: list[Member], last_word: str) -> None:
    """Tell them that it is over, and give them time to bring what they do to its end."""
    for member in members:
        member.tell(last_word)
    await asyncio.gather(*(member.finish(PATIENCE) for member in members))
