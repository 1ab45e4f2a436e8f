"""The queue of HTTP requests of a worker: bounds how many run at once, shares that fairly, and sheds overload.

An event loop serves every request that is ready, so a client with a thousand connections would get a thousand times as
much of it as another, and each running request makes every iteration of the loop longer. So a request runs only if its
caller, identified by token and by address, has fewer than its share of requests running, and all callers together have
fewer than four times the share. Other requests wait, and are served round robin: by address, and among the requests of
one address by token. While only one caller sends requests, it may have ``MAX_RUNNING``.

The share begins at LEAST_SHARE. While requests wait, it grows as long as the event loop is on time: then the running
requests wait for PostgreSQL or for another service, and more of them at once are served sooner. It shrinks when the
loop is late.

A request that would wait longer than ``MAX_WAIT`` at the measured throughput is refused with 503 on arrival: by the
HTTP protocol (`http_limits`) as soon as its head is read, or here if it came through a proxy.

A request counts as running until its response begins, but no longer than ``MAX_TURN``: one that takes longer waits
(for a body that arrives slowly, the next message, another service) and does not occupy the event loop.
"""

import asyncio
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from backend.errors import Busy
from backend.observability import metrics
from backend.services.senders import Senders

MAX_RUNNING: Final = 512  # requests, inclusive
LEAST_SHARE: Final = 8  # requests of one caller at the least; measured: so many posts take 1 ms of the event loop
MAX_SHARE: Final = 64  # requests of one caller at the most, while several send
SHARES: Final = 4  # all callers together may have so many times the share
EARLY: Final = 0.0005  # seconds; the share grows if a timer of the event loop fires at most so late
LATE: Final = 0.0015  # seconds; the share shrinks if it fires so late or later
TICK: Final = 0.025  # seconds between two of these timers
MAX_TURN: Final = 0.25  # seconds for which a request counts as running
MAX_WAIT: Final = 0.3  # seconds; with the waits before it and for a commit, the response is to come within 2 s
_MEMORY: Final = 1.0  # seconds after which a request that has ended weighs 1/e in the measured throughput
_UNMEASURED: Final = 2_000.0  # requests a second, the throughput before the first measurement
_MIN_QUEUE: Final = 128  # requests that may wait, however low the throughput
_LOOKED_AT: Final = 64  # addresses, and tokens of each, that are examined for a request that may run

Clock = Callable[[], float]


class Caller(NamedTuple):
    """The sender of a request, as far as it is known before its token is checked.

    ``token`` is a hash of the Authorization header, which can have 32 KiB and is kept for two seconds. The hash has a
    random key in each process (PYTHONHASHSEED), so no client can construct a token with another's hash.
    """

    token: int
    address: str


class QueuedRequest:
    """A request that runs, or that waits until the future ``ready`` is done."""

    __slots__ = ("caller", "ready", "since", "waiting")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.since = 0.0
        self.ready: asyncio.Future[None] | None = None
        self.waiting = False


class RequestQueue:
    """The requests that run and those that wait; ``clock`` returns seconds and is monotonic."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._running: dict[QueuedRequest, None] = {}  # in the order in which they began
        self._count = defaultdict[int | str, int](int)  # running, by token and by address
        # By address, then by token, in the order of their turns; no dict and no deque in it is empty.
        self._waiting: dict[str, dict[int, deque[QueuedRequest]]] = {}
        self._number = 0  # requests that wait
        self._senders = Senders()
        self._fair = float(LEAST_SHARE)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the timer should fire
        # The throughput while requests wait: how many ended in how many seconds, weighted by age.
        self._ended = _UNMEASURED * _MEMORY
        self._seconds = _MEMORY
        self._measured = 0.0

    def arrive(self, caller: Caller) -> QueuedRequest:
        """Add a request of ``caller`` and return it; if its ``ready`` is not None, it must wait for that.

        Raises Busy if it would wait longer than `MAX_WAIT`.
        """
        now = self._clock()
        self._senders.note(caller.token, now)
        turn = QueuedRequest(caller)
        self._admit_after_expiry(now)
        if self._may_run(caller, self._share(now)) and not (self._number and self._queue_of(caller)):
            self._run(turn, now)
            return turn
        if self.refuses(caller):
            metrics.HTTP_SHED.labels("overloaded").inc()
            raise Busy("Too many requests are being served")
        self._queue(turn)
        return turn

    @property
    def may_refuse(self) -> bool:
        """Whether `_MIN_QUEUE` or more requests wait, so that some requests may be refused."""
        return self._number >= _MIN_QUEUE

    def refuses(self, caller: Caller) -> bool:
        """Tell whether another request of ``caller`` would wait longer than `MAX_WAIT`, and so be refused."""
        return self.may_refuse and self._wait(caller) > MAX_WAIT

    def leave(self, turn: QueuedRequest) -> None:
        """Remove a request that runs or waits; safe to call twice, and for one that never ran."""
        if turn in self._running:
            self._stop(turn)
            if self._number:
                self._admit()
        elif turn.waiting:  # its request was cancelled
            turn.waiting = False
            self._waiting[turn.caller.address][turn.caller.token].remove(turn)
            self._take_off(turn.caller)

    def _share(self, now: float) -> int:
        return int(self._fair) if self._senders.several(now) else MAX_RUNNING

    def _is_full(self, share: int) -> bool:
        return len(self._running) >= min(SHARES * share, MAX_RUNNING)

    def _may_run(self, caller: Caller, share: int) -> bool:
        count = self._count.get
        return not self._is_full(share) and count(caller.token, 0) < share and count(caller.address, 0) < share

    def _run(self, turn: QueuedRequest, now: float) -> None:
        turn.since = now
        self._running[turn] = None
        self._count[turn.caller.token] += 1
        self._count[turn.caller.address] += 1

    def _stop(self, turn: QueuedRequest) -> None:
        if self._number:
            self._measure()
        del self._running[turn]
        for key in turn.caller:
            self._count[key] -= 1
            if not self._count[key]:
                del self._count[key]

    def _admit_after_expiry(self, now: float) -> None:
        """Remove the requests that have run for `MAX_TURN` from the running ones, and run others for them."""
        while self._running and now - (oldest := next(iter(self._running))).since >= MAX_TURN:
            self._stop(oldest)
            self._admit()

    def _queue_of(self, caller: Caller) -> Sequence[QueuedRequest]:
        return self._waiting.get(caller.address, {}).get(caller.token, ())

    def _queue(self, turn: QueuedRequest) -> None:
        loop = asyncio.get_running_loop()
        turn.ready = loop.create_future()
        turn.waiting = True
        if not self._number:
            self._measured = self._clock()
        self._number += 1
        self._waiting.setdefault(turn.caller.address, {}).setdefault(turn.caller.token, deque()).append(turn)
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        self._due = self._clock() + TICK
        self._timer = asyncio.get_running_loop().call_later(TICK, self._on_tick)

    def _on_tick(self) -> None:
        """Adapt the share, and run waiting requests although no other has ended."""
        now = self._clock()
        self._adapt(now - self._due)
        self._admit_after_expiry(now)
        while self._admit():
            pass
        self._timer = None
        if self._number:
            self._set_timer()

    def _adapt(self, late: float) -> None:
        if late >= LATE:
            self._fair = max(self._fair * 0.8, LEAST_SHARE)
        elif late <= EARLY:
            self._fair = min(self._fair + 1, MAX_SHARE)

    def _admit(self) -> bool:
        """Run the next request that may run, round robin by address, then token; return whether there is one."""
        now = self._clock()
        share = self._share(now)
        if self._is_full(share):
            return False
        for address in [*islice(self._waiting, _LOOKED_AT)]:
            tokens = self._waiting[address] = self._waiting.pop(address)  # moves the address to the end
            if self._count.get(address, 0) >= share:
                continue
            for token in [*islice(tokens, _LOOKED_AT)]:
                queue = tokens[token] = tokens.pop(token)
                if self._count.get(token, 0) < share:
                    turn = queue.popleft()
                    turn.waiting = False
                    self._take_off(turn.caller)
                    self._run(turn, now)
                    if turn.ready is not None and not turn.ready.done():
                        turn.ready.set_result(None)
                    return True
        return False

    def _take_off(self, caller: Caller) -> None:
        """Count one waiting request of ``caller`` less, and drop its queue if it is empty."""
        self._number -= 1
        if not self._queue_of(caller):
            del self._waiting[caller.address][caller.token]
        if not self._waiting[caller.address]:
            del self._waiting[caller.address]

    def _wait(self, caller: Caller) -> float:
        """Return how many seconds another request of ``caller`` would wait at the measured throughput.

        In each round every address has one turn, and each token of an address one turn in as many rounds as it has
        tokens. Others may send on meanwhile, so the number of requests that wait is no bound.
        """
        tokens = self._waiting.get(caller.address, {})
        addresses = len(self._waiting) + (caller.address not in self._waiting)
        turns = (len(self._queue_of(caller)) + 1) * (len(tokens) + (caller.token not in tokens))
        return turns * addresses * self._seconds / self._ended

    def _measure(self) -> None:
        now = self._clock()
        passed = now - self._measured
        self._measured = now
        left = math.exp(-passed / _MEMORY)
        self._ended = self._ended * left + 1
        self._seconds = self._seconds * left + passed


def new_caller(token: bytes | None, address: str) -> Caller:
    """Return the caller with ``token``, the value of Authorization, or without one (None), at ``address``."""
    return Caller(hash(address if token is None else token), address)
