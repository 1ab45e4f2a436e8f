"""A way to the service that loses answers, breaks connections and answers itself, as a test tells it."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal
from uuid import UUID

import httpx
import orjson

_SLUGS: Final = {401: "token-invalid", 429: "too-many-requests", 500: "internal-error", 503: "database-unavailable"}


@dataclass(frozen=True)
class Answer:
    """An answer that is given in place of the service's."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


# What becomes of a request: it is passed on; its answer is lost after that; it is reset before; or it is answered here.
Fate = Literal["pass", "lose", "reset"] | Answer


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Unreliable:
    """Passes requests on to the service on ``port``, except for the next ``fates``. A connection serves one request."""

    port: int
    address: str = ""
    fates: Iterator[Fate] = field(default_factory=lambda: iter(()))
    requests: list[Request] = field(default_factory=list)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    def meet(self, *fates: Fate) -> None:
        """Decide about the next requests."""
        self.fates = iter(fates)

    def cut(self) -> None:
        """Break every connection that is open."""
        for task in self._open:
            task.cancel()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._answer(reader, writer)
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in fields)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append(Request(line, headers, body))
        match next(self.fates, "pass"):
            case Answer() as answer:
                await _write(writer, answer)
            case "pass":
                await self._pass(head.replace(b"\r\n", b"\r\nconnection: close\r\n", 1) + body, reader, writer)
            case "lose":
                await self._pass(head.replace(b"\r\n", b"\r\nconnection: close\r\n", 1) + body, reader, None)

    async def _pass(self, request: bytes, reader: StreamReader, writer: StreamWriter | None) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            back.write(request)
            gone = asyncio.create_task(reader.read())  # nothing more comes, so it ends with the client
            gone.add_done_callback(lambda _: back.transport.abort())
            while data := await there.read(65_536):
                if writer:
                    writer.write(data)
                    await writer.drain()
            gone.cancel()
        finally:
            back.transport.abort()
        if writer:
            writer.close()
            await writer.wait_closed()


async def _write(writer: StreamWriter, answer: Answer) -> None:
    named = {"content-length": str(len(answer.body)), "connection": "close"} | answer.headers
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}", *(f"{k}: {v}" for k, v in named.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
    writer.close()
    await writer.wait_closed()


def problem(status: int, slug: str | None = None, retry_after: str | None = None, **members: Any) -> Answer:
    """Return the service's answer with a problem."""
    identity = UUID(int=7)
    document = {
        "type": f"/problems/{slug or _SLUGS[status]}",
        "title": "A problem",
        "status": status,
        "detail": "Something is wrong.",
        "instance": f"urn:uuid:{identity}",
        "request_id": identity.hex,
    }
    headers = {"content-type": "application/problem+json"} | ({"retry-after": retry_after} if retry_after else {})
    return Answer(status, orjson.dumps(document | members), headers)


@asynccontextmanager
async def unreliable(service: httpx.AsyncClient | None = None) -> AsyncIterator[Unreliable]:
    """Give an unreliable way to ``service``, which listens on this machine; without one, the fates decide all."""
    way = Unreliable(service.base_url.port or 0 if service else 0)
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    way.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield way
    finally:
        server.close()
        way.cut()
        await server.wait_closed()
