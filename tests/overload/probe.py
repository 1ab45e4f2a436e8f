"""An innocent caller: another subject at another address, on a process of its own that does nothing else.

It posts one message every 50 ms and asks `/livez` every 100 ms, each on a new connection, whether or not the earlier
ones were answered. So its figures tell of the service and not of a busy client.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import uvloop

from tests.benchmarks.load import get, post
from tests.overload.wire import API, Caller, Target, message, read_answer

PATIENCE: Final = 15.0  # seconds after the attack within which the service has to recover
SLACK: Final = 3.0  # what is answered within so many times the quiet p99 counts as undisturbed
_POST_EVERY: Final = 0.05  # seconds
_LIVEZ_EVERY: Final = 0.1  # seconds
_CALM: Final = 0.2  # seconds that the probe goes on for after the service has recovered
_SOURCE: Final = "127.0.9.1"
_FAILED: Final = 0  # stands for a status where the connection failed or nothing came before the end
_CREATED: Final = 201


@dataclass(frozen=True)
class Times:
    """When what happens, by the monotonic clock, which all processes of a machine share."""

    begin: float
    attack: float
    end: float


@dataclass
class Sample:
    """One request: when it was due, when it was answered or given up, and the answer's status."""

    due: float
    done: float
    status: int

    @property
    def seconds(self) -> float:
        return self.done - self.due


@dataclass
class Report:
    """All that the innocent caller saw."""

    times: Times
    posts: list[Sample] = field(default_factory=list)
    livez: list[Sample] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)

    @property
    def quiet(self) -> list[Sample]:
        """What was due before the attack."""
        return [each for each in self.posts if self.times.begin <= each.due < self.times.attack]

    @property
    def beside(self) -> list[Sample]:
        """What was due during the attack."""
        return [each for each in self.posts if self.times.attack <= each.due < self.times.end]

    @property
    def recovery(self) -> float | None:
        """Seconds from the end of the attack to the first answer that was as fast as before; None without one."""
        fast = SLACK * percentile([each.seconds for each in self.quiet], 0.99)
        found = [
            each.done - self.times.end
            for each in self.posts
            if each.done >= self.times.end and each.status == _CREATED and each.seconds <= fast
        ]
        return min(found, default=None)


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return what ``share`` of ``seconds`` did not exceed; 0 where there are none."""
    return sorted(seconds)[min(int(len(seconds) * share), len(seconds) - 1)] if seconds else 0.0


def probe(target: Target, times: Times) -> Report:
    """Post and ask from now on until the service has recovered from the attack, or PATIENCE is over.

    What was due before ``times.begin`` warms the service up and is not counted.
    """
    return uvloop.run(_Probe(target, times).run())


class _Probe:
    def __init__(self, target: Target, times: Times) -> None:
        self._target = target
        self._times = times
        self._report = Report(times)
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> Report:
        tickers = [
            asyncio.create_task(self._tick(_POST_EVERY, self._post)),
            asyncio.create_task(self._tick(_LIVEZ_EVERY, self._ask)),
        ]
        await asyncio.sleep(self._times.end - time.monotonic())
        while self._report.recovery is None and time.monotonic() < self._times.end + PATIENCE:
            await asyncio.sleep(_POST_EVERY)
        await asyncio.sleep(_CALM)
        for ticker in tickers:
            ticker.cancel()
        if requests := [*self._under_way]:
            await asyncio.wait(requests, timeout=PATIENCE)
        for request in requests:
            request.cancel()
        await asyncio.gather(*tickers, *requests, return_exceptions=True)
        return self._report

    async def _tick(self, every: float, act: Callable[[float], Coroutine[None, None, None]]) -> None:
        due = time.monotonic()
        while True:
            task = asyncio.create_task(act(due))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            due += every
            await asyncio.sleep(due - time.monotonic())

    async def _post(self, due: float) -> None:
        caller, identity = self._target.innocent, str(uuid4())
        status = await self._send(self._report.posts, due, _request(caller, identity))
        if status == _CREATED:
            self._report.stored.append(identity)

    async def _ask(self, due: float) -> None:
        await self._send(self._report.livez, due, get("/livez"))

    async def _send(self, samples: list[Sample], due: float, request: bytes) -> int:
        status = _FAILED
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._target.port, local_addr=(_SOURCE, 0))
            try:
                writer.write(request)
                status, _, _ = await read_answer(reader)
            finally:
                writer.transport.abort()
        except (OSError, EOFError):
            pass
        finally:
            samples.append(Sample(due, time.monotonic(), status))
        return status


def _request(caller: Caller, identity: str) -> bytes:
    return post(f"{API}/voice/messages", message(caller, identity), token=caller.token)
