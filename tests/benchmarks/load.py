"""A load of HTTP requests from prepared bytes, cheap enough that the server is what is measured.

One asyncio protocol a connection, each waiting for its answer before it sends the next (a closed loop, as phones do).
"""

import asyncio
import gc
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

import uvloop

PATIENCE: Final = 20.0  # seconds, beyond those of the load, for the answers that are still under way


def post(path: str, body: bytes, *, token: str | None = None) -> bytes:
    """Return the bytes of one HTTP/1.1 request."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    return (head + _authorization(token) + "\r\n").encode() + body


def get(path: str, *, token: str | None = None, unless: str | None = None) -> bytes:
    """Return the bytes of one HTTP/1.1 request, for what has another entity tag than ``unless``."""
    condition = "" if unless is None else f"if-none-match: {unless}\r\n"
    return f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{_authorization(token)}{condition}\r\n".encode()


def _authorization(token: str | None) -> str:
    return "" if token is None else f"authorization: Bearer {token}\r\n"


@dataclass
class Measurement:
    """What one round of load saw; times in seconds.

    An answer stands for ``items`` messages or pages. ``service`` and ``postgres`` are processor time.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    last_answer: bytes = b""
    dry: bool = False  # some caller had nothing left to send before the time was over
    items: int = 1
    service: float = 0.0
    postgres: float = 0.0

    @property
    def count(self) -> int:
        """Messages or pages."""
        return self.items * len(self.latencies)

    @property
    def rate(self) -> float:
        """Messages or pages a second."""
        return self.count / self.seconds

    def percentile(self, share: float) -> float:
        """The latency that ``share`` of the answers did not exceed, in seconds."""
        return sorted(self.latencies)[min(int(len(self.latencies) * share), len(self.latencies) - 1)]


class _Caller(asyncio.Protocol):
    def __init__(self, requests: Iterable[bytes], measurement: Measurement, deadline: float) -> None:
        self._requests = iter(requests)
        self._measurement = measurement
        self._deadline = deadline
        self._answer = bytearray()
        self._expected = 0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send(time.perf_counter())

    def _send(self, now: float) -> None:
        request = next(self._requests, None) if now < self._deadline else None
        if request is None:
            self._measurement.dry |= now < self._deadline
            self._transport.close()
            self.done.set_result(None)
            return
        self._answer.clear()
        self._expected = 0
        self._sent = now
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._expected:
            end = self._answer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._answer[:end]).lower()
            _, _, rest = head.partition(b"content-length: ")
            self._expected = end + 4 + int(rest.split(b"\r\n", 1)[0] or 0)  # a 304 has no length
        if len(self._answer) >= self._expected:
            now = time.perf_counter()
            self._measurement.latencies.append(now - self._sent)
            self._measurement.statuses[int(self._answer[9:12])] += 1
            self._measurement.last_answer = bytes(self._answer)
            self._send(now)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed before its answer"))


async def _load(url: str, requests: Sequence[Iterable[bytes]], seconds: float) -> Measurement:
    address = urlsplit(url)
    measurement = Measurement()
    start = time.perf_counter()

    async def call(share: Iterable[bytes]) -> None:
        _, caller = await asyncio.get_running_loop().create_connection(
            lambda: _Caller(share, measurement, start + seconds), address.hostname or "", address.port or 80
        )
        await caller.done

    async with asyncio.timeout(None if math.isinf(seconds) else seconds + PATIENCE):
        await asyncio.gather(*map(call, requests))
    measurement.seconds = time.perf_counter() - start
    return measurement


@contextmanager
def _undisturbed() -> Iterator[None]:
    # Hundreds of thousands of prepared requests would be looked through again and again while the clock runs.
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def load(url: str, requests: Sequence[Iterable[bytes]], *, seconds: float = math.inf) -> Measurement:
    """Send ``requests``, one connection for each inner one, until they or ``seconds`` are over, and measure."""
    with _undisturbed():
        return uvloop.run(_load(url, requests, seconds))
