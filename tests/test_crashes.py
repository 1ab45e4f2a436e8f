"""Killing what keeps the record, in the middle of a replay: what was acknowledged is there, once and in order."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.replay import Tally, replay

DIALOGUES = 150
TURNS = 24
CONNECTIONS = 32
IN_THE_MIDDLE = 40  # batches acknowledged
DEADLINE = 60.0

# A client whose server is killed while it connects leaves the socket to the garbage collector, deep in its library.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dataclass
class Served:
    """The service as a process of its own."""

    process: asyncio.subprocess.Process
    url: str

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()


Serve = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start services; those that still live in the end are stopped."""
    async with AsyncExitStack() as stack:

        async def serve(port: str = "0", **environment: str) -> Served:
            return await stack.enter_async_context(_served(port, environment))

        yield serve


@asynccontextmanager
async def _served(port: str, environment: dict[str, str]) -> AsyncIterator[Served]:
    command = [sys.executable, "-m", "backend", "serve", "--port", port]
    settings = os.environ | {"VERBATIM_LOG_LEVEL": "ERROR"} | environment
    process = await asyncio.create_subprocess_exec(
        *command, env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            greeting = (await process.stdout.readline()).decode()
            found = re.search(r"http://\S+:\d+", greeting)
            assert found, greeting
            async with httpx.AsyncClient(base_url=found[0], timeout=DEADLINE) as client:
                (await client.get("/readyz")).raise_for_status()
        yield Served(process, found[0])
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), DEADLINE)


class Witness(httpx.AsyncHTTPTransport):
    """The network, and a note of every message whose place on record was confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged: dict[str, Any] = {}
        self.batches = 0
        self.in_the_middle = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if request.url.path.endswith("/batch") and response.status_code == 200:
            results = json.loads(await response.aread())["results"]
            confirmed = [result["message"] for result in results if result["status"] in {200, 201}]
            self.acknowledged |= {message["id"]: message for message in confirmed}
            self.batches += 1
            if self.batches == IN_THE_MIDDLE:
                self.in_the_middle.set()
        return response

    async def wait(self) -> None:
        await asyncio.wait_for(self.in_the_middle.wait(), DEADLINE)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "dialogues.jsonl"
    lines = [
        {"dialogue_id": f"{dialogue}", "events": [_said(dialogue, turn) for turn in range(TURNS)]}
        for dialogue in range(DIALOGUES)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def _said(dialogue: int, turn: int) -> dict[str, Any]:
    role = "assistant" if turn % 2 else "user"
    return {"type": "ConversationText", "role": role, "content": _sentence(dialogue, turn)}


def _sentence(dialogue: int, turn: int) -> str:
    return f"Of dialogue {dialogue} this is sentence {turn}."


async def _replay(source: Path, url: str, *, patience: float, witness: Witness | None = None) -> Tally:
    return await replay(source, url, concurrency=CONNECTIONS, patience=patience, transport=witness)


async def _check(url: str, witness: Witness) -> None:
    """Every transcript is its source, dense and in order; every confirmed message stands as it was confirmed."""
    recorded: dict[str, Any] = {}
    dialogues = []
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=DEADLINE) as client:
        for conversation in (await client.get("/conversations?limit=500")).json()["data"]:
            messages = (await client.get(f"/conversations/{conversation['id']}/transcript")).json()["messages"]
            assert [message["sequence"] for message in messages] == list(range(1, TURNS + 1))
            dialogues.append([message["content"] for message in messages])
            recorded |= {message["id"]: message for message in messages}
    assert sorted(dialogues) == sorted([_sentence(each, turn) for turn in range(TURNS)] for each in range(DIALOGUES))
    assert witness.acknowledged.items() <= recorded.items()


async def test_what_was_acknowledged_survives_the_death_of_the_service(
    serve: Serve, source: Path, database_url: str
) -> None:
    witness = Witness()
    service = await serve(DATABASE_URL=database_url)
    replaying = asyncio.create_task(_replay(source, service.url, patience=2, witness=witness))
    await witness.wait()
    await service.kill()
    cut = await replaying
    assert cut.trouble
    assert cut.new <= len(witness.acknowledged) < DIALOGUES * TURNS

    service = await serve(DATABASE_URL=database_url)
    again = await _replay(source, service.url, patience=DEADLINE)
    assert again.complete
    assert again.repeated >= len(witness.acknowledged)
    assert again.new + again.repeated == DIALOGUES * TURNS
    await _check(service.url, witness)


async def test_a_replay_outlives_a_restart_of_the_service(serve: Serve, source: Path, database_url: str) -> None:
    witness = Witness()
    service = await serve(DATABASE_URL=database_url)
    replaying = asyncio.create_task(_replay(source, service.url, patience=DEADLINE, witness=witness))
    await witness.wait()
    await service.kill()
    port = service.url.rpartition(":")[2]
    service = await serve(port, DATABASE_URL=database_url)
    tally = await replaying
    assert tally.complete
    assert len(witness.acknowledged) == DIALOGUES * TURNS
    await _check(service.url, witness)


async def test_what_was_acknowledged_survives_the_death_of_postgresql(
    serve: Serve, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    witness = Witness()
    service = await serve(VERBATIM_DATA_DIR=str(tmp_path / "data"))
    replaying = asyncio.create_task(_replay(source, service.url, patience=DEADLINE, witness=witness))
    await witness.wait()
    os.kill(_postmaster(tmp_path / "data"), signal.SIGKILL)
    assert (await replaying).complete

    again = await _replay(source, service.url, patience=DEADLINE)
    assert (again.new, again.repeated, again.complete) == (0, DIALOGUES * TURNS, True)
    await _check(service.url, witness)


def _postmaster(folder: Path) -> int:
    [noted] = folder.glob("postgresql-*/data/postmaster.pid")
    return int(noted.read_text().split()[0])
