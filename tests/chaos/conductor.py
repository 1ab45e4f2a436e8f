"""One run: everything up, the faults, everything healed, everybody finished, and the verdict."""

import asyncio
import json
import socket
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from tests.chaos import checker
from tests.chaos.checker import Verdict
from tests.chaos.fleet import SHUTDOWN, Member
from tests.chaos.journal import read
from tests.chaos.plan import Plan
from tests.chaos.stage import Stage, stage

READERS: Final = ("pages", "live", "feed")
PATIENCE: Final = 60.0  # seconds for everything that waits for somebody else


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
    faults: list[str] = field(default_factory=list)


def conduct(dose: Dose, folder: Path) -> Outcome:
    """Do all of it in ``folder``."""
    with stage(folder) as prepared:
        return asyncio.run(_conduct(dose, folder, prepared))


async def _conduct(dose: Dose, folder: Path, prepared: Stage) -> Outcome:
    async with AsyncExitStack() as stack:
        ports = free_ports(dose.services)
        services = [await _service(stack, dose, prepared, folder, port) for port in ports]
        doors = [f"http://127.0.0.1:{port}/api/v1" for port in ports]
        plan = Plan.make(dose.seed, dose.clients, dose.rate, doors)
        plan.save(folder / "plan.json")
        await _open(plan)
        clients = [await _client(stack, folder, number) for number in range(dose.clients)]
        readers = {kind: await _reader(stack, folder, kind) for kind in READERS}
        await asyncio.sleep(dose.seconds)
        await _finish(clients, "")
        rows, counters = await prepared.rows()
        await _finish(list(readers.values()), json.dumps(counters) + "\n")
        del services
    journals = [read(folder / f"client-{number}.jsonl") for number in range(dose.clients)]
    heard = {kind: read(folder / f"{kind}.jsonl") for kind in READERS}
    return Outcome(dose, checker.check(journals, heard, rows, counters), len(rows))


async def _service(stack: AsyncExitStack, dose: Dose, prepared: Stage, folder: Path, port: int) -> Member:
    environment = {
        "DATABASE_URL": prepared.url,
        "VERBATIM_SHUTDOWN_TIMEOUT": str(SHUTDOWN),
    }
    command = ["backend", "serve", "--port", str(port), "--workers", str(dose.workers), "--wait", "60"]
    return await _member(stack, Member(f"service-{port}", command, folder / f"service-{port}.log", environment))


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
    async with httpx.AsyncClient(timeout=PATIENCE) as http, asyncio.timeout(PATIENCE):
        for door in plan.doors:
            while not await _ready(http, door):
                await asyncio.sleep(0.1)
        for conversation in plan.conversations:
            body = {"id": conversation, "context_type": "voice"}
            (await http.post(f"{plan.doors[0]}/conversations", json=body)).raise_for_status()


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


def free_ports(count: int) -> list[int]:
    # Held until all are drawn: drawn singly, two may be the same.
    with ExitStack() as held:
        listeners = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]
