"""The queue of HTTP requests: how many run at once, of each caller and in all, and which are refused when they arrive.

An event loop serves whatever is ready, so a caller with a thousand connections would be served a thousand times for
each time of another, and whatever runs makes every iteration of the loop longer for all. So a request runs only if its
caller, told apart by token and by address, has fewer than its share of requests running, and all callers together have
fewer than four times that. Further ones wait: addresses take turns, and among those of one address its tokens. While
only one caller sends anything, it may have ``MOST_RUNNING``.

The share begins at LEAST_SHARE. While requests wait, it grows as long as the event loop is on time: then they wait for
PostgreSQL or for another service, and more of them at once are served sooner. It shrinks when the loop is late.

A request that would wait longer than ``LONGEST_WAIT`` at the measured pace is refused at once: by the HTTP protocol
(`http_limits`) as soon as its head is read, or here if it came through a proxy.

A request counts as running until its answer begins, but no longer than ``LONGEST_TURN``: what takes longer waits for
something (a body that arrives slowly, the next message, another service) and does not occupy the event loop.
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

MOST_RUNNING: Final = 512
LEAST_SHARE: Final = 8  # the smallest; so many posts take about three milliseconds of the event loop
MOST_SHARE: Final = 128
SHARES: Final = 4  # that all callers may have together
EARLY: Final = 0.001  # seconds that the event loop is late at most when the share grows
LATE: Final = 0.003  # seconds that it is late at least when the share shrinks
TICK: Final = 0.025  # seconds between two looks at that
LONGEST_TURN: Final = 0.25  # seconds
LONGEST_WAIT: Final = 0.75  # seconds; with the wait for a commit, the answer is to come within two
_MEMORY: Final = 1.0  # seconds after which a request that has ended weighs 1/e in the measured pace
_UNMEASURED: Final = 2_000.0  # requests a second, before there was a pace to measure
_CROWD: Final = 128  # requests that may wait, however slow the pace
_LOOKED_AT: Final = 64  # addresses, and tokens of each, that are looked at for a request that may run

Clock = Callable[[], float]


class Caller(NamedTuple):
    """Who sends a request, as far as is known before its token is checked.

    ``token`` is a hash of the Authorization header, which can have 32 KiB and is kept for two seconds. It is keyed anew
    in each process (PYTHONHASHSEED), so no client can choose another's.
    """

    token: int
    address: str


class QueuedRequest:
    """A request that is running, or waits until ``ready`` is done."""

    __slots__ = ("caller", "ready", "since", "waiting")

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.since = 0.0
        self.ready: asyncio.Future[None] | None = None
        self.waiting = False


class RequestQueue:
    """Requests that run and requests that wait; ``clock`` is in seconds and never goes back."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._running: dict[QueuedRequest, None] = {}  # in the order in which they began
        self._count = defaultdict[int | str, int](int)  # running, by token and by address
        # By address, then by token, the next one first; nothing in it is empty.
        self._waiting: dict[str, dict[int, deque[QueuedRequest]]] = {}
        self._number = 0  # of those that wait
        self._senders = Senders()
        self._fair = float(LEAST_SHARE)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the timer should fire
        # The pace while requests wait: how many ended in how many seconds, weighed by age.
        self._ended = _UNMEASURED * _MEMORY
        self._seconds = _MEMORY
        self._measured = 0.0

    def arrive(self, caller: Caller) -> QueuedRequest:
        """Return the turn of a request, which may have to wait until it is ``ready``; raises Busy if for too long."""
        now = self._clock()
        self._senders.note(caller.token, now)
        turn = QueuedRequest(caller)
        self._admit_after_expiry(now)
        if self._may_run(caller, self._share(now)) and not self._queue_of(caller):
            self._run(turn, now)
            return turn
        if self.refuses(caller):
            metrics.HTTP_SHED.labels("overloaded").inc()
            raise Busy("Too many requests are being served")
        self._queue(turn)
        return turn

    @property
    def crowded(self) -> bool:
        """Whether so many wait that some requests are refused."""
        return self._number >= _CROWD

    def refuses(self, caller: Caller) -> bool:
        """Tell whether another request of ``caller`` would have to wait too long."""
        return self.crowded and self._wait(caller) > LONGEST_WAIT

    def leave(self, turn: QueuedRequest) -> None:
        """Note that a request does not run any more; safe to call twice, and for one that never ran."""
        if turn in self._running:
            self._stop(turn)
            if self._number:
                self._admit()
        elif turn.waiting:  # its request was cancelled
            turn.waiting = False
            self._waiting[turn.caller.address][turn.caller.token].remove(turn)
            self._take_off(turn.caller)

    def _share(self, now: float) -> int:
        return int(self._fair) if self._senders.several(now) else MOST_RUNNING

    def _is_full(self, share: int) -> bool:
        return len(self._running) >= min(SHARES * share, MOST_RUNNING)

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
        """Let requests run in the places of those that have run for ``LONGEST_TURN``."""
        while self._running and now - (oldest := next(iter(self._running))).since >= LONGEST_TURN:
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
        self._timer = asyncio.get_running_loop().call_later(TICK, self._look)

    def _look(self) -> None:
        """Adapt the share, and let requests run although none has ended."""
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
            self._fair = min(self._fair + 1, MOST_SHARE)

    def _admit(self) -> bool:
        """Let one request run that may: addresses take turns, and among those of an address its tokens."""
        now = self._clock()
        share = self._share(now)
        if self._is_full(share):
            return False
        for address in [*islice(self._waiting, _LOOKED_AT)]:
            tokens = self._waiting[address] = self._waiting.pop(address)  # it is the last one from now on
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
        """Note that a queue of ``caller`` is shorter by one."""
        self._number -= 1
        if not self._queue_of(caller):
            del self._waiting[caller.address][caller.token]
        if not self._waiting[caller.address]:
            del self._waiting[caller.address]

    def _wait(self, caller: Caller) -> float:
        """Return how many seconds another request of ``caller`` would wait."""
        tokens = self._waiting.get(caller.address, {})
        ahead = (len(self._queue_of(caller)) + 1) * (len(tokens) + 1) * (len(self._waiting) + 1)
        return min(self._number, ahead) * self._seconds / self._ended

    def _measure(self) -> None:
        now = self._clock()
        passed = now - self._measured
        self._measured = now
        left = math.exp(-passed / _MEMORY)
        self._ended = self._ended * left + 1
        self._seconds = self._seconds * left + passed


def new_caller(token: bytes | None, address: str) -> Caller:
    """Return who sends a request with ``token``, the value of its Authorization header, from ``address``."""
    return Caller(hash(address if token is None else token), address)
