"""A stand-in for the orchestrator on loopback: it keeps what it is told, and answers as a test wants."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import orjson
from standardwebhooks import Webhook

from tests.description import assert_described
from tests.waiting import PATIENCE

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEXT_SECRET: Final = "whsec_C2FtcGxlIHNlY3JldCBvZiB0aGUgdGVzdHMh"

# What it does with a request beside answering a status: what a test wants written, wait for a test's word and then take
# it, nothing at all, hang up, or a body without end.
Behaviour = int | tuple[int, dict[str, str]] | bytes | asyncio.Event | Literal["hang", "cut", "endless"]


@dataclass(frozen=True)
class Told:
    """A request that arrived whole."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        """The body; raises AssertionError if it is not what `openapi.json` describes."""
        event = dict(orjson.loads(self.body))
        assert_described("IntentExtracted", event)
        return event

    def verify(self, secret: str = SECRET) -> None:
        """Raise unless it was signed with ``secret``."""
        Webhook(secret).verify(self.body, self.headers)


@dataclass
class OrchestratorStandIn:
    url: str
    behaviours: Iterator[Behaviour] = field(default_factory=lambda: iter(()))  # of the next; all others get 204
    told: list[Told] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, condition: Callable[[], object], within: float = PATIENCE) -> None:
        """Wait for ``condition`` to hold of what was told."""
        async with asyncio.timeout(within):
            while not condition():
                self._news.clear()
                await self._news.wait()

    @property
    def times(self) -> Counter[str]:
        """How often each delivery was told."""
        return Counter(told.id for told in self.told)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head)}
            self.told.append(Told(headers, await reader.readexactly(int(headers["content-length"]))))
            self._news.set()
            await self._answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match next(self.behaviours, 204):
            case int(status):
                writer.write(_head(status, {"content-length": "0"}))
            case (int(status), dict(headers)):
                writer.write(_head(status, {"content-length": "0"} | headers))
            case bytes(written):
                writer.write(written)
            case asyncio.Event() as word:
                await word.wait()
                writer.write(_head(204, {}))
            case "hang":
                await reader.read()  # until the other side gives up
            case "endless":
                writer.write(_head(200, {}))
                while True:
                    writer.write(b"x" * 65_536)
                    await writer.drain()
            case _:
                writer.transport.abort()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = (f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} As You Like It\r\n{''.join(lines)}\r\n".encode()


@asynccontextmanager
async def orchestrator() -> AsyncIterator[OrchestratorStandIn]:
    """Run a stand-in on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = OrchestratorStandIn(f"http://127.0.0.1:{listener.getsockname()[1]}/hook")
        serving: set[asyncio.Task[None]] = set()

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving.add(asyncio.create_task(found.serve(reader, writer)))

        server = await asyncio.start_server(serve, sock=listener)
        try:
            yield found
        finally:
            server.close()
            for task in serving:
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)


def settings(url: str, **more: Any) -> dict[str, Any]:
    """What a service is set to that tells the stand-in at ``url``."""
    return {"orchestrator_private": True, "orchestrator_secrets": (SECRET,), "orchestrator_url": url, **more}
