"""A server with limits that a test can reach in milliseconds, and clients that do what no client library does."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast

import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

from backend.http_limits import HttpLimits, LimitedHTTP
from backend.http_limits.connections import Connections
from backend.observability.metrics import HTTP_SHED
from backend.server import listen
from tests.waiting import PATIENCE

TICK: Final = 0.02  # seconds


@dataclass
class Application:
    """Answers what a path says: `/large/N` with N bytes, `/early` before the body, `/wait` once it is released."""

    begun: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        assert scope["type"] == "http"
        path = scope["path"]
        self.begun.append(path)
        size = 0
        if path == "/wait":
            await self.released.wait()
        if path != "/early":
            more = True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    self.failed.append(path)
                    return
                size += len(message["body"])
                more = message["more_body"]
        body = bytes(int(path.rpartition("/")[2])) if path.startswith("/large/") else b"%s %d" % (path.encode(), size)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


@dataclass
class Served:
    """A server in a thread of its own, with the event loop of production."""

    port: int
    application: Application
    http: LimitedHTTP
    loop: asyncio.AbstractEventLoop
    state: dict[str, Any]  # of the application

    @property
    def connections(self) -> Connections:
        return self.http.connections

    def connect(self, address: str = "127.0.0.1", *, receive: int | None = None) -> "Peer":
        """Return a client at ``address``, whose socket keeps about ``receive`` bytes that it has not asked for."""
        connected = socket.socket()
        connected.settimeout(PATIENCE)
        if receive is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        connected.bind((address, 0))
        connected.connect(("127.0.0.1", self.port))
        return Peer(connected)

    def release(self) -> None:
        self.loop.call_soon_threadsafe(self.application.released.set)

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(TICK / 4)

    def let_pass(self, seconds: float) -> None:
        """Wait until the server has counted so many seconds."""
        until = self.connections.now + seconds
        self.until(lambda: self.connections.now >= until)


@contextmanager
def served(**limits: Any) -> Iterator[Served]:
    application = Application()
    http = LimitedHTTP(HttpLimits(**{"tick": TICK} | limits))
    with listen("127.0.0.1", 0) as listener:
        config = uvicorn.Config(
            application,
            http=cast("type[asyncio.Protocol]", http),
            ws="none",
            log_config=None,
            lifespan="off",
            timeout_keep_alive=1,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        loops: list[asyncio.AbstractEventLoop] = []

        async def serve() -> None:
            loops.append(asyncio.get_running_loop())
            await server.serve([listener])

        factory = config.get_loop_factory()
        thread = threading.Thread(target=lambda: asyncio.Runner(loop_factory=factory).run(serve()))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.001)
            yield Served(listener.getsockname()[1], application, http, loops[0], server.lifespan.state)
        finally:
            loops[0].call_soon_threadsafe(application.released.set)
            server.should_exit = True
            thread.join()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        document: dict[str, Any] = json.loads(self.body)
        assert document["status"] == self.status
        assert {"type", "title", "detail", "instance", "request_id"} <= document.keys()
        return document


class Peer:
    """One connection, byte by byte."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> Self:
        self.socket.sendall(data)
        return self

    def get(self, path: str = "/") -> Self:
        return self.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())

    def send_without_end(self, data: bytes, most: int) -> int:
        """Send ``data`` again and again until the server lets go or, at ``most`` bytes, not; return how many went."""
        sent = 0
        try:
            while sent < most:
                sent += self.socket.send(data)
        except OSError:
            return sent
        return sent

    def fill(self, data: bytes) -> int:
        """Send ``data`` again and again until the server takes nothing for a while; return how many bytes went."""
        self.socket.settimeout(10 * TICK)
        sent = 0
        try:
            while True:
                sent += self.socket.send(data)
        except TimeoutError:
            return sent
        finally:
            self.socket.settimeout(PATIENCE)

    def answer(self) -> Answer:
        response = http.client.HTTPResponse(self.socket)
        response.begin()
        body = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)

    def answers(self, number: int) -> list[bytes]:
        """Return the bodies of so many answers, which may come together."""
        with self.socket.makefile("rb") as stream:
            bodies = []
            for _ in range(number):
                head = b"".join(iter(stream.readline, b"\r\n"))
                size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                bodies.append(stream.read(size))
        return bodies

    def is_closed(self) -> bool:
        """Wait for the end of the connection; what comes before it is dropped."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True


@contextmanager
def shed(reason: str, times: int | None = None) -> Iterator[None]:
    """Expect that the metric counts ``reason`` so often, or at all."""
    counter = HTTP_SHED.labels(reason)
    before = counter._value.get()
    yield
    counted = counter._value.get() - before
    assert counted == times if times is not None else counted > 0
