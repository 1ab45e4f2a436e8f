"""The attacker's side of a connection: raw bytes from any loopback address, and a count of what came back."""

import asyncio
import resource
import socket
import time
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from uuid import uuid4

import orjson

from tests.benchmarks.load import post

API: Final = "/api/v1"
_PAUSE: Final = 1.0  # seconds before a connection that the service ended is opened again
_RAMP: Final = 1 / 8  # of the attack's time, in which it opens its connections; at once they overflow the accept queue
_SAID: Final = "Could you move the dentist to Thursday at nine and tell Minh about it?"
_SOCKETS: Final = Path("/proc/net/tcp")  # proc(5)
_ESTABLISHED: Final = "01"
_LOOK_EVERY: Final = 0.5  # seconds
_CREATED: Final = 201

AnyT = TypeVar("AnyT")
Attempt = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Caller:
    """A subject: its token, where the service wants one, and a conversation that it owns."""

    token: str | None
    conversation: str


@dataclass(frozen=True)
class Target:
    """The service under attack, and the subjects that it knows."""

    port: int
    posters: list[Caller]
    followed: list[Caller]
    greedy: Caller
    reader: Caller  # its conversation holds a page of large messages
    innocent: Caller


@dataclass
class Tally:
    """What one attack sent and what the service did about it."""

    answers: Counter[str] = field(default_factory=Counter)  # by status
    ended: int = 0  # connections that the service refused, or ended without an answer
    left: int = 0  # connections that were open when the attack stopped
    sent: int = 0  # bytes, where an attack counts them
    heard: int = 0  # events that followers received
    stored: list[str] = field(default_factory=list)  # ids of messages acknowledged with 201
    accepted: list[float] = field(default_factory=list)  # seconds to each 201, as this busy process saw them
    shed: list[float] = field(default_factory=list)  # seconds to each 503, likewise
    lag: float = 0.0  # seconds by which this process's event loop was late, at most


def message(caller: Caller, identity: str, said: str = _SAID) -> bytes:
    return (
        f'{{"id":"{identity}","conversation_id":"{caller.conversation}","role":"user","content":"{said}",'
        f'"input_modality":"voice","metadata":{{"languages":["en"]}}}}'
    ).encode()


def raise_open_files() -> None:
    """Let this process open as many connections as the hard limit permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def read_answer(reader: StreamReader) -> tuple[int, bytes, bool]:
    """Return the status, the body, and whether the service will close; raises EOFError or OSError without an answer."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, found, rest = head.partition(b"content-length: ")
    body = await reader.readexactly(int(rest.split(b"\r\n", 1)[0])) if found else b""
    return int(head[9:12]), body, b"connection: close" in head


class Attacker:
    """What all connections of one attack share. ``until`` is by the monotonic clock, ``scale`` of the full size."""

    def __init__(self, target: Target, until: float, scale: float) -> None:
        self.target = target
        self.tally = Tally()
        self._until = until
        self._scale = scale
        self._looked = 0.0
        self._found: set[str] = set()

    def some(self, full: int) -> int:
        """Return ``full`` at this attack's scale, at least 1."""
        return max(1, round(full * self._scale))

    async def run(self, attempts: Iterable[Attempt]) -> Tally:
        """Make all attempts side by side, each again whenever it ends, until the time is over."""
        every = list(attempts)
        ramp = _RAMP * (self._until - time.monotonic())
        tasks = [
            asyncio.create_task(self._insist(attempt, ramp * place / len(every))) for place, attempt in enumerate(every)
        ]
        tasks.append(asyncio.create_task(self._watch_loop()))
        _, open_ = await asyncio.wait(tasks, timeout=max(0, self._until - time.monotonic()))
        for task in open_:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        return self.tally

    async def _insist(self, attempt: Attempt, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            try:
                await attempt()
            except (OSError, EOFError):
                self.tally.ended += 1
                await asyncio.sleep(_PAUSE)

    async def _watch_loop(self) -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.05)
            self.tally.lag = max(self.tally.lag, time.monotonic() - begun - 0.05)

    @asynccontextmanager
    async def connect(
        self, source: str, *, receive_buffer: int | None = None
    ) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
        """Open a connection from ``source``; ``receive_buffer`` bytes is all that the kernel takes for us unread."""
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            if receive_buffer:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            raw.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.target.port))
            reader, writer = await asyncio.open_connection(sock=raw)
        except BaseException:
            raw.close()
            raise
        try:
            yield reader, writer
        except asyncio.CancelledError:
            self.tally.left += 1
            raise
        finally:
            writer.transport.abort()

    async def post_singly(self, caller: Caller, source: str, pause: float = 0.0, said: str = _SAID) -> None:
        """Post one message after the other on one connection, each ``pause`` seconds after the last answer."""
        async with self.connect(source) as (reader, writer):
            closing = False
            while not closing:
                identity, begun = str(uuid4()), time.monotonic()
                writer.write(post(f"{API}/voice/messages", message(caller, identity, said), token=caller.token))
                status, _, closing = await read_answer(reader)
                self._note_post(status, identity, time.monotonic() - begun)
                if pause:
                    await asyncio.sleep(pause)

    def _note_post(self, status: int, identity: str, seconds: float) -> None:
        self.tally.answers[str(status)] += 1
        if status == _CREATED:
            self.tally.stored.append(identity)
            self.tally.accepted.append(seconds)
        elif status == 503:
            self.tally.shed.append(seconds)

    async def ask(self, source: str, *requests: bytes) -> None:
        """Send each request on one connection and count its answer, with the messages that it says are stored."""
        async with self.connect(source) as (reader, writer):
            for request in requests:
                writer.write(request)
                self.tally.sent += len(request)
                status, body, closing = await read_answer(reader)
                self.tally.answers[str(status)] += 1
                if status == 200:
                    self.tally.stored += _stored(body)
                if closing:
                    return

    async def drip(self, source: str, opening: bytes, piece: bytes, pause: float) -> None:
        """Send ``opening``, then ``piece`` every ``pause`` seconds, until the service answers or closes."""
        async with self.connect(source) as (reader, writer):
            writer.write(opening)
            self.tally.sent += len(opening)
            async with _beside(read_answer(reader)) as answer:
                while not answer.done():
                    await asyncio.wait({answer}, timeout=pause)
                    if not answer.done():
                        writer.write(piece)
                        await writer.drain()
                        self.tally.sent += len(piece)
                self.tally.answers[str(answer.result()[0])] += 1

    async def flood(self, source: str, opening: bytes, piece: bytes, most: int) -> None:
        """Send ``opening`` and ``piece`` as fast as the service reads, until the attack has sent ``most`` bytes."""
        async with self.connect(source) as (reader, writer):
            writer.write(opening)
            async with _beside(self._count_answers(reader)) as counting:
                while not counting.done() and self.tally.sent < most:
                    writer.write(piece)
                    await writer.drain()
                    self.tally.sent += len(piece)
                    await asyncio.sleep(0)
                await counting

    async def _count_answers(self, reader: StreamReader) -> None:
        closing = False
        while not closing:
            status, _, closing = await read_answer(reader)
            self.tally.answers[str(status)] += 1

    async def leave_unread(self, source: str, request: bytes) -> None:
        """Send ``request`` and read none of the answer, until the service has given the connection up.

        What the service does with its end is not seen from here: its FIN would come after the unread bytes.
        """
        async with self.connect(source, receive_buffer=4096) as (_, writer):
            raw: socket.socket = writer.get_extra_info("socket")
            writer.write(request)
            self.tally.sent += len(request)
            address, port = raw.getsockname()
            here = f"{socket.inet_aton(address)[::-1].hex()}:{port:04x}".upper()
            await asyncio.sleep(_LOOK_EVERY)
            while here in self._peers():
                await asyncio.sleep(_LOOK_EVERY)
            raise ConnectionResetError

    def _peers(self) -> set[str]:
        """Return the far ends of the service's established connections, at most _LOOK_EVERY seconds old."""
        now = time.monotonic()
        if now - self._looked > _LOOK_EVERY:
            sockets = [line.split()[1:4] for line in _SOCKETS.read_text().splitlines()[1:]]
            port = f":{self.target.port:04X}"
            self._found = {far for near, far, state in sockets if near.endswith(port) and state == _ESTABLISHED}
            self._looked = now
        return self._found


@asynccontextmanager
async def _beside(work: Coroutine[None, None, AnyT]) -> AsyncIterator[asyncio.Task[AnyT]]:
    """Run ``work`` beside the block, and end it with the block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _stored(body: bytes) -> list[str]:
    """Return the ids of the messages that an answer to a batch or to events says are new on record."""
    results = orjson.loads(body).get("results", ())
    return [
        each["id"]
        for result in results
        if result["status"] == _CREATED
        for each in result.get("messages") or [result["message"]]
        if each
    ]
