"""A stand-in for what is between a recorder and the service: it answers as bad services, proxies and networks do."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

import httpx
import orjson

HTML: Final = ("text/html", b"<html><h1>Sorry</h1></html>")


class Fault(Enum):
    """What it does to requests instead of passing them on."""

    ERROR_500 = auto()  # the service fails for the whole request
    ITEMS_500 = auto()  # the service fails for each message of it
    ITEMS_503 = auto()
    HTML_500 = auto()
    HTML_502 = auto()
    HTML_404 = auto()
    HTML_403 = auto()
    HTML_413 = auto()
    HTML_200 = auto()  # a page of a captive portal's
    TOKEN_401 = auto()
    SCOPE_403 = auto()
    BUSY_429 = auto()
    HANG = auto()  # it reads the request and answers nothing
    RESET = auto()  # it resets the connection
    ANSWER_LOST = auto()  # it passes the request on, and resets the connection instead of answering
    REPEAT = auto()  # it passes the request on twice
    DELAY = auto()  # it passes the request on after a while


DELAY: Final = 0.1  # seconds
_PASSED_ON: Final = {None, Fault.ANSWER_LOST, Fault.REPEAT, Fault.DELAY}


class BadService:
    """Stands before ``service``, and does to each request what ``choose`` returns, by default ``fault``."""

    def __init__(self, service: httpx.AsyncClient, choose: Callable[[], Fault | None] | None = None) -> None:
        self.fault: Fault | None = None
        self.faults: Counter[Fault | None] = Counter()  # what was done to how many requests
        self._service = service
        self._choose = choose or (lambda: self.fault)

    @property
    def spoilt(self) -> int:
        """The number of requests that a fault met."""
        return self.faults.total() - self.faults[None]

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while await self._answer(reader, writer):
                    pass
        finally:
            writer.close()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> bool:
        """Answer one request, and tell whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        fault = self._choose()
        self.faults[fault] += 1
        if fault is Fault.HANG:
            await reader.read()  # until the client gives up
            return False
        if fault is Fault.RESET:
            writer.transport.abort()
            return False
        if fault in _PASSED_ON:
            method, path, _ = head[0].split(" ")
            passed = await self._pass_on(method, path, body, fault)
            if fault is Fault.ANSWER_LOST:
                writer.transport.abort()
                return False
            _write(writer, passed.status_code, passed.headers["content-type"], passed.content)
        else:
            _write(writer, *ANSWERS[fault](body))
        await writer.drain()
        return True

    async def _pass_on(self, method: str, path: str, body: bytes, fault: Fault | None) -> httpx.Response:
        if fault is Fault.DELAY:
            await asyncio.sleep(DELAY)
        for _ in range(2 if fault is Fault.REPEAT else 1):
            answer = await self._service.request(
                method, path, content=body, headers={"content-type": "application/json"}
            )
        return answer


def _write(writer: StreamWriter, status: int, media: str, body: bytes, retry_after: int | None = None) -> None:
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"content-type: {media}",
        f"content-length: {len(body)}",
        *([] if retry_after is None else [f"retry-after: {retry_after}"]),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)


Answer = tuple[int, str, bytes] | tuple[int, str, bytes, int]


def _problem(status: int, slug: str) -> tuple[int, str, bytes]:
    return status, "application/problem+json", orjson.dumps({"type": f"/problems/{slug}", "status": status})


def _items(body: bytes, status: int, slug: str) -> tuple[int, str, bytes]:
    problem = {"type": f"/problems/{slug}", "status": status}
    count = len(orjson.loads(body)["messages"])
    return 200, "application/json", orjson.dumps({"results": [{"status": status, "problem": problem}] * count})


ANSWERS: Final[dict[Fault | None, Callable[[bytes], Answer]]] = {
    Fault.ERROR_500: lambda _: _problem(500, "internal-error"),
    Fault.ITEMS_500: lambda body: _items(body, 500, "internal-error"),
    Fault.ITEMS_503: lambda body: _items(body, 503, "database-unavailable"),
    Fault.HTML_500: lambda _: (500, *HTML),
    Fault.HTML_502: lambda _: (502, *HTML),
    Fault.HTML_404: lambda _: (404, *HTML),
    Fault.HTML_403: lambda _: (403, *HTML),
    Fault.HTML_413: lambda _: (413, *HTML),
    Fault.HTML_200: lambda _: (200, *HTML),
    Fault.TOKEN_401: lambda _: _problem(401, "token-invalid"),
    Fault.SCOPE_403: lambda _: _problem(403, "scope-missing"),
    Fault.BUSY_429: lambda _: (*_problem(429, "too-many-requests"), 1),
}


@asynccontextmanager
async def standing_before(
    service: httpx.AsyncClient, choose: Callable[[], Fault | None] | None = None
) -> AsyncIterator[tuple[BadService, str]]:
    """Give a stand-in before ``service``, and its address."""
    stand_in = BadService(service, choose)
    server = await asyncio.start_server(stand_in.serve, "127.0.0.1", 0)
    async with server:
        yield stand_in, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
