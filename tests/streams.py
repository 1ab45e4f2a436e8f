"""Following over server-sent events, as a client library would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import uvicorn
from fastapi import FastAPI

from backend.server import listen
from tests.description import assert_described
from tests.waiting import PATIENCE


@dataclass(frozen=True)
class Event:
    kind: str
    id: str | None
    data: Any


class Follower:
    """A client that listens to one stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.comments = 0
        self._lines = answer.aiter_lines()

    async def next(self, within: float = PATIENCE) -> Event:
        """Return the next event; raises EOFError at the end of the stream."""
        async with asyncio.timeout(within):
            fields: dict[str, str] = {}
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    fields[name] = value
                elif "data" in fields:
                    described = fields | ({"retry": int(fields["retry"])} if "retry" in fields else {})
                    assert_described("ConversationStreamEvent", described)
                    return Event(fields["event"], fields.get("id"), orjson.loads(fields["data"]))
            raise EOFError

    async def take(self, count: int, within: float = PATIENCE) -> list[Event]:
        return [await self.next(within) for _ in range(count)]

    async def rest(self, within: float = PATIENCE) -> list[Event]:
        """Return everything up to the end of the stream."""
        found: list[Event] = []
        try:
            while True:
                found.append(await self.next(within))
        except EOFError:
            return found


@asynccontextmanager
async def following(
    client: httpx.AsyncClient, path: str, *, headers: dict[str, str] | None = None, **query: object
) -> AsyncIterator[Follower]:
    wanted = {"accept": "text/event-stream"} | (headers or {})
    parameters = {name: str(value) for name, value in query.items()}
    async with client.stream("GET", f"/api/v1{path}", params=parameters, headers=wanted, timeout=PATIENCE) as answer:
        yield Follower(answer)


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service on a free port, in this process, and give a client of it.

    Uvicorn is started by its parts, as it would take the signals otherwise.
    """
    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=5)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        try:
            limits = httpx.Limits(max_connections=None)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with httpx.AsyncClient(base_url=url, timeout=PATIENCE, limits=limits) as client:
                yield client
        finally:
            await server.shutdown([listener])
