"""A network that is not as bad as it says would prove nothing either."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.chaos.proxy import Mode, Proxy
from tests.waiting import PATIENCE

SOON = 0.2  # seconds in which what comes at all comes


@dataclass
class Echo:
    """A server that answers whatever it hears, and what it heard."""

    port: int = 0
    heard: bytes = b""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                self.heard += data
                self.arrived.set()
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            self.gone.set()
            writer.transport.abort()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    echo = Echo()
    async with await asyncio.start_server(echo.answer, "127.0.0.1", 0) as server:
        echo.port = server.sockets[0].getsockname()[1]
        yield echo
        server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    async with Proxy(lambda: echo.port) as proxy:
        yield proxy


@dataclass
class Client:
    reader: StreamReader
    writer: StreamWriter

    def say(self, words: bytes) -> None:
        self.writer.write(words)

    async def hears(self) -> bytes | None:
        """Return what comes, nothing at the end, or None where nothing comes."""
        try:
            return await asyncio.wait_for(self.reader.read(100), SOON)
        except TimeoutError:
            return None
        except ConnectionError:
            return b""


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    async with _connected(proxy) as client:
        client.say(b"hello")
        assert await client.hears() == b"hello"
        yield client


@asynccontextmanager
async def _connected(proxy: Proxy) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", proxy.port))
    yield client
    client.writer.transport.abort()


async def test_what_is_cut_ends_on_both_sides_and_is_not_to_be_had_again(
    echo: Echo, proxy: Proxy, client: Client
) -> None:
    proxy.turn(Mode.CUT)
    assert await client.hears() == b""
    await asyncio.wait_for(echo.gone.wait(), PATIENCE)
    async with _connected(proxy) as refused:
        assert await refused.hears() == b""
    proxy.turn(Mode.PASS)
    async with _connected(proxy) as again:
        again.say(b"again")
        assert await again.hears() == b"again"


async def test_what_is_half_open_is_silent_in_both_directions_for_ever(
    echo: Echo, proxy: Proxy, client: Client
) -> None:
    proxy.turn(Mode.HALF_OPEN)
    client.say(b"lost")
    assert await client.hears() is None
    proxy.turn(Mode.PASS)
    client.say(b"lost, too")
    assert await client.hears() is None
    assert echo.heard == b"hello"
    client.writer.close()
    await asyncio.sleep(SOON)  # nobody says that nothing happens
    assert not echo.gone.is_set()
    proxy.end_links(deaf_only=True)
    await asyncio.wait_for(echo.gone.wait(), PATIENCE)


async def test_where_answers_are_dropped_what_is_asked_arrives(echo: Echo, proxy: Proxy, client: Client) -> None:
    proxy.turn(Mode.DROP_ANSWERS)
    echo.arrived.clear()
    client.say(b"commit")
    await asyncio.wait_for(echo.arrived.wait(), PATIENCE)
    assert echo.heard == b"hellocommit"
    assert await client.hears() is None
    client.writer.close()
    await asyncio.wait_for(echo.gone.wait(), PATIENCE)


async def test_what_is_delayed_comes_late_and_whole(proxy: Proxy, client: Client) -> None:
    proxy.turn(Mode.PASS, delay=0.15)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    client.say(b"slowly")
    assert await asyncio.wait_for(client.reader.read(100), PATIENCE) == b"slowly"
    assert loop.time() - begun >= 0.3


async def test_a_server_that_is_not_there_is_a_connection_that_ends() -> None:
    async with Proxy(lambda: "/nowhere") as proxy, _connected(proxy) as client:
        assert await client.hears() == b""
