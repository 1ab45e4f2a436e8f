"""What clients that went away had in hand does not stay in memory."""

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI

from backend import garbage_collection
from backend.garbage_collection import GarbageCollection
from tests.conftest import utterance
from tests.streams import listening
from tests.waiting import PATIENCE, until

_OURS = {"StreamingResponse", "Stream", "StreamedResponse", "Permit", "_Reader", "_Walk", "MessageRow"}


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(app) as client:
        yield client


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Let nothing be collected that refers to itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    return Counter(name for each in gc.get_objects() if (name := type(each).__qualname__) in _OURS)


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("path", ["live", "transcript"])
async def test_waves_of_clients_that_go_away_leave_nothing_behind(client: httpx.AsyncClient, path: str) -> None:
    opened = (await client.post("/api/v1/conversations", json={"context_type": "voice"})).json()["id"]
    for _ in range(10):
        messages = [utterance(opened, "x" * 20_000) for _ in range(40)]
        await client.post("/api/v1/voice/messages/batch", json={"messages": messages})

    async def leave() -> None:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port, limit=2**10)
        writer.write(f"GET /api/v1/conversations/{opened}/{path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        assert b"200" in await reader.readline()
        await reader.read(100)
        writer.transport.abort()

    for _ in range(3):
        await asyncio.gather(*(leave() for _ in range(20)))
    await until(lambda: not alive())


async def test_memory_that_has_grown_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage_collection, "PAUSE", 0.01)
    watching = GarbageCollection()
    watching.start()
    assert not gc.isenabled()  # by itself
    try:
        await asyncio.sleep(0.05)  # how much there is before is known
        gone = asyncio.Event()
        _leave_a_cycle(gone)
        async with asyncio.timeout(PATIENCE):
            await gone.wait()
    finally:
        await watching.close()
        gc.unfreeze()
    assert gc.isenabled()


class _Cycle:
    """An object that refers to itself, and to more than the collector puts up with."""

    def __init__(self) -> None:
        self.itself = self
        self.much = b"x" * (garbage_collection.GROWTH + 2**20)


def _leave_a_cycle(gone: asyncio.Event) -> None:
    cycle = _Cycle()
    weakref.finalize(cycle, gone.set)
