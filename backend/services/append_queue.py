"""The queue of messages that wait to be appended: a fair queue (like deficit round robin), with back-pressure.

Requests are grouped by subject, the person or service that sends them. Subjects are served round robin: each commit
takes messages of every subject that waits, and the next commit begins with the subject after the last one. While only
one subject sends, a commit takes as many messages as it may hold. Once several send, a commit takes at most the cost
TURN_COST of each, so that the running commit is short when a single message of another subject arrives. A request that
is larger than its share is split over commits, and answered when its last message is decided.

The queue is bounded in bytes, for each subject and in all, from the arrival of a request to its answer. It is bounded
in time as well: a request that would wait longer than ``MAX_WAIT`` at the measured throughput is refused on
arrival, because its client would have timed out by then.

A message whose conversation another transaction has locked is set aside. It is retried after a few milliseconds, at
growing intervals, while other messages are committed. Later messages of the same subject and conversation queue behind
it, so that none is recorded before it. Each commit takes messages that were set aside first, within the share of their
subject. If none of them could be stored for ``LOCK_TIMEOUT``, all of them are refused.

A client must send a message again that was refused as busy, or of which it is unknown whether it was stored. Later
messages of the same request and conversation are then refused, too, in whichever commit they would have come, so that
the retry keeps their order.
"""

import asyncio
import math
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from backend.dao_service.append_dao import NewMessage
from backend.errors import Busy, DatabaseUnavailable, RecordError, Unavailable
from backend.observability import metrics
from backend.services.append_transaction import Outcome
from backend.services.senders import Senders

MAX_PER_COMMIT: Final = 1_000  # messages
MAX_BYTES_PER_COMMIT: Final = 4 * 2**20  # a commit may exceed it by one message, or by one request of a lone subject
MAX_BYTES: Final = 64 * 2**20  # of all requests that are not answered
MAX_BYTES_PER_SUBJECT: Final = 16 * 2**20  # of one subject's requests that are not answered
MAX_WAIT: Final = 1.0  # seconds; with the wait before it (`request_queue`), the response is to come within 2 s
LOCK_TIMEOUT: Final = 0.5  # seconds that a message waits for its conversation's lock
FIRST_RETRY_DELAY: Final = 0.005  # seconds until a locked conversation is tried again; doubled each time
MAX_RETRY_DELAY: Final = 0.1  # seconds

# The memory of a message besides its texts: a tuple, two UUIDs, a time (measured: 900 bytes).
_BYTES_PER_MESSAGE: Final = 1_000
# The cost of a message is 1. Measured over a whole post, with HTTP and PostgreSQL: a request costs as much as six
# messages, and 8 KiB as much as one.
_COST_PER_REQUEST: Final = 6.0
_BYTES_PER_COST: Final = 8_192
TURN_COST: Final = 40.0  # cost; measured: about 1 ms of two processors
_UNMEASURED: Final = 10_000.0  # cost a second, before the first commit


@dataclass(slots=True, eq=False)
class Request:
    """The messages of one request, and their outcomes as far as they are decided."""

    subject: str | None
    messages: Sequence[NewMessage]
    sizes: Sequence[int]
    answer: "asyncio.Future[list[Outcome]]"
    outcomes: list[Outcome | None] = field(init=False)
    undecided: int = field(init=False)
    taken: int = 0  # messages that are in a commit, set aside, or decided
    # The conversations of which a message must be sent again, and why.
    refused: dict[UUID, Unavailable] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.undecided = len(self.messages)
        self.outcomes = [None] * self.undecided

    @property
    def size(self) -> int:
        """The bytes that all messages take in memory."""
        return sum(self.sizes)

    def cost(self, start: int, stop: int) -> float:
        """Return the cost of the messages from ``start`` (inclusive) to ``stop`` (exclusive)."""
        whole = _COST_PER_REQUEST if start == 0 else 0.0
        return whole + (stop - start) + sum(self.sizes[start:stop]) / _BYTES_PER_COST


class Slice(NamedTuple):
    """The messages of a request from ``start`` (inclusive) to ``stop`` (exclusive)."""

    request: Request
    start: int
    stop: int

    @property
    def messages(self) -> Sequence[NewMessage]:
        """The messages."""
        return self.request.messages[self.start : self.stop]


@dataclass(slots=True, eq=False)
class Commit:
    """The messages of one append transaction, in this order."""

    slices: list[Slice] = field(default_factory=list)
    count: int = 0
    size: int = 0
    cost: float = 0.0

    @property
    def messages(self) -> list[NewMessage]:
        """The messages."""
        return [message for each in self.slices for message in each.messages]

    @property
    def full(self) -> bool:
        """Whether the commit has reached its bound in messages or bytes."""
        return self.count >= MAX_PER_COMMIT or self.size >= MAX_BYTES_PER_COMMIT

    def add(self, request: Request, start: int, stop: int) -> None:
        """Add a slice of ``request``."""
        self.slices.append(Slice(request, start, stop))
        self.count += stop - start
        self.size += sum(request.sizes[start:stop])
        self.cost += request.cost(start, stop)


@dataclass(slots=True, eq=False)
class _SubjectQueue:
    """The requests of one subject that have messages in no commit yet, in order of arrival."""

    requests: deque[Request] = field(default_factory=deque)
    cost: float = 0.0


# A subject and a conversation. Messages of other subjects have their own key, so that a subject without access to the
# conversation cannot delay those of its owner.
_Key = tuple[str | None, UUID]


@dataclass(slots=True, eq=False)
class _Locked:
    """The messages of one subject for a locked conversation that are in no commit, each as a slice of its own.

    ``since`` is when the conversation was first found locked after the last message of the subject was decided in it.
    """

    since: float = math.inf
    delay: float = FIRST_RETRY_DELAY
    due: float = 0.0
    slices: deque[Slice] = field(default_factory=deque)


class AppendQueue:
    """The requests that are not answered; ``clock`` returns seconds and is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.arrived = asyncio.Event()
        self._clock = clock
        self._throughput = _Throughput()
        self._queues: dict[str | None, _SubjectQueue] = {}
        self._turns: deque[str | None] = deque()  # the keys of _queues, the next to be served first
        self._cost = 0.0
        self._bytes = 0
        self._bytes_of: dict[str | None, int] = {}
        self._requests: dict[Request, None] = {}  # not answered, in order of arrival
        self._locked: dict[_Key, _Locked] = {}
        self._senders = Senders()

    def __len__(self) -> int:
        """Return how many requests are not answered."""
        return len(self._requests)

    @property
    def full(self) -> bool:
        """Whether the queue has reached `MAX_BYTES`, so that further requests are refused."""
        return self._bytes >= MAX_BYTES

    @property
    def size(self) -> int:
        """The bytes of all requests that are not answered."""
        return self._bytes

    def size_of(self, subject: str | None) -> int:
        """Return the bytes of the requests of ``subject`` that are not answered."""
        return self._bytes_of.get(subject, 0)

    def add(self, subject: str | None, messages: Sequence[NewMessage]) -> "asyncio.Future[list[Outcome]]":
        """Queue ``messages`` of ``subject``, and return a future with their outcomes; raises Busy for a full queue."""
        sizes = [_size(message) for message in messages]
        size, held = sum(sizes), self._bytes_of.get(subject, 0)
        # A request alone is never refused as too large, because each retry would be refused, too.
        if held and held + size > MAX_BYTES_PER_SUBJECT:
            raise Busy("Too many messages of this sender are waiting to be stored")
        if self._bytes and self._bytes + size > MAX_BYTES:
            raise Busy("Too many messages are waiting to be stored")
        now = self._clock()
        if self._wait(subject, now) > MAX_WAIT:
            raise Busy("Messages are waiting too long to be stored")
        request = Request(subject, messages, sizes, asyncio.get_running_loop().create_future())
        self._requests[request] = None
        self._bytes += size
        self._bytes_of[subject] = held + size
        self._senders.note(subject, now)
        queue = self._queues.get(subject)
        if queue is None:
            queue = self._queues[subject] = _SubjectQueue()
            self._turns.append(subject)
        queue.requests.append(request)
        self._change_cost(queue, request.cost(0, len(messages)))
        metrics.APPEND_QUEUE.inc(len(messages))
        self.arrived.set()
        return request.answer

    def take(self) -> Commit:
        """Return the next commit; it is empty if no message is due."""
        self.arrived.clear()
        now = self._clock()
        commit = Commit()
        self._locked = {key: each for key, each in self._locked.items() if each.slices}
        share = TURN_COST if len(self._queues) > 1 or self._senders.several(now) else math.inf
        shares: defaultdict[str | None, float] = defaultdict(lambda: share)
        self._take_due(commit, shares, now)
        for _ in range(len(self._turns)):
            if commit.full:
                break
            subject = self._turns.popleft()
            queue = self._queues[subject]
            self._serve(queue, commit, shares[subject])
            if queue.requests:
                self._turns.append(subject)
            else:
                self._cost -= queue.cost  # the rest of floating-point rounding
                del self._queues[subject]
        if self._queues or any(each.slices and each.due <= now for each in self._locked.values()):
            self.arrived.set()
        if commit.slices:
            self._throughput.begin(now)
        return commit

    def settle(self, commit: Commit, outcomes: Sequence[Outcome | None]) -> None:
        """Set the outcomes of the messages of ``commit``; None stands for one whose conversation is locked."""
        self._throughput.end(self._clock(), commit.cost)
        locked: defaultdict[_Key, list[Slice]] = defaultdict(list)
        begin = 0
        for each in commit.slices:
            end = begin + each.stop - each.start
            self._decide(each, outcomes[begin:end], locked)
            begin = end
        for key, slices in locked.items():
            self._set_aside(key, slices)

    def fail(self, commit: Commit, error: Exception) -> None:
        """Answer the requests of ``commit`` with ``error``, and commit no further message of them.

        Later messages must not be recorded before those that the client must send again.
        """
        self._throughput.abandon()
        for request in {each.request for each in commit.slices}:
            self._abandon(request, error)

    def close(self) -> None:
        """Answer every open request: with Busy, or with DatabaseUnavailable if some of its messages may be stored."""
        for request in [*self._requests]:
            self._abandon(request, DatabaseUnavailable() if request.taken else Busy("The service is stopping"))

    def _abandon(self, request: Request, error: Exception) -> None:
        if request not in self._requests:
            return
        if left := len(request.messages) - request.taken:
            queue = self._queues[request.subject]
            queue.requests.remove(request)
            self._change_cost(queue, -request.cost(request.taken, len(request.messages)))
            metrics.APPEND_QUEUE.dec(left)
        if isinstance(error, RecordError) and any(request.outcomes):
            self._answer(request, [error if each is None else each for each in request.outcomes])
        else:
            self._answer(request, error)

    def _decide(self, part: Slice, outcomes: Sequence[Outcome | None], locked: defaultdict[_Key, list[Slice]]) -> None:
        """Set the outcomes of a slice, and add its messages to ``locked`` whose conversation is locked."""
        request, start, stop = part
        request.outcomes[start:stop] = outcomes
        decided = stop - start
        for place, outcome in enumerate(outcomes, start):
            conversation = request.messages[place].conversation_id
            if outcome is None:
                locked[request.subject, conversation].append(Slice(request, place, place + 1))
                decided -= 1
            elif isinstance(outcome, Unavailable):
                request.refused.setdefault(conversation, outcome)
            elif self._locked and (unlocked := self._locked.get((request.subject, conversation))):
                unlocked.since, unlocked.delay = math.inf, FIRST_RETRY_DELAY
        self._count_decided(request, decided)

    def _count_decided(self, request: Request, count: int) -> None:
        request.undecided -= count
        if request.undecided == 0 and request in self._requests:
            self._answer(request, [each for each in request.outcomes if each is not None])

    def _set_aside(self, key: _Key, slices: Sequence[Slice]) -> None:
        """Keep messages of a locked conversation for a later commit; after `LOCK_TIMEOUT` refuse all of them."""
        now = self._clock()
        locked = self._locked.setdefault(key, _Locked())
        locked.since = min(locked.since, now)
        locked.slices.extendleft(reversed(slices))
        if now - locked.since >= LOCK_TIMEOUT:
            del self._locked[key]
            for each in locked.slices:
                self._refuse(each, Busy("The conversation is locked by another program"))
            return
        locked.due = now + locked.delay
        asyncio.get_running_loop().call_later(locked.delay, self.arrived.set)
        locked.delay = min(locked.delay * 2, MAX_RETRY_DELAY)

    def _refuse(self, part: Slice, error: Unavailable) -> None:
        """Refuse the single message of a slice with ``error``, or with the earlier refusal in its conversation."""
        request, place, _ = part
        request.outcomes[place] = request.refused.setdefault(request.messages[place].conversation_id, error)
        self._count_decided(request, 1)

    def _take_due(self, commit: Commit, shares: defaultdict[str | None, float], now: float) -> None:
        """Move messages that were set aside into the commit, within the ``shares`` of their subjects."""
        for (subject, _), locked in self._locked.items():
            while locked.slices and locked.due <= now and shares[subject] > 0 and not commit.full:
                each = locked.slices.popleft()
                shares[subject] -= each.request.cost(each.start, each.stop)
                self._add_one(commit, each)

    def _answer(self, request: Request, answer: list[Outcome] | Exception) -> None:
        del self._requests[request]
        self._bytes -= request.size
        left = self._bytes_of[request.subject] - request.size
        if left:
            self._bytes_of[request.subject] = left
        else:
            del self._bytes_of[request.subject]
        if request.answer.done():
            return  # the caller was cancelled
        if isinstance(answer, Exception):
            request.answer.set_exception(answer)
        else:
            request.answer.set_result(answer)

    def _serve(self, queue: _SubjectQueue, commit: Commit, share: float) -> None:
        """Move messages of one subject into the commit until their cost reaches ``share``, or the commit is full."""
        taken = 0
        while queue.requests and share > 0 and not commit.full:
            request = queue.requests[0]
            start = request.taken
            stop = request.taken = _stop(request, share, commit)
            if self._locked or request.refused:
                self._add_unlocked(commit, Slice(request, start, stop))
            else:
                commit.add(request, start, stop)
            cost = request.cost(start, stop)
            share -= cost
            self._change_cost(queue, -cost)
            taken += stop - start
            if stop == len(request.messages):
                queue.requests.popleft()
        metrics.APPEND_QUEUE.dec(taken)

    def _add_unlocked(self, commit: Commit, part: Slice) -> None:
        """Add the messages of a slice, except those that must queue behind others of a locked conversation."""
        for place, message in enumerate(part.messages, part.start):
            one = Slice(part.request, place, place + 1)
            locked = self._locked.get((part.request.subject, message.conversation_id))
            if locked and locked.slices:
                locked.slices.append(one)
            else:
                self._add_one(commit, one)

    def _add_one(self, commit: Commit, part: Slice) -> None:
        """Add a single message, unless its request is answered or an earlier message must be sent again before it."""
        if part.request not in self._requests:
            return
        if error := part.request.refused.get(part.messages[0].conversation_id):
            self._refuse(part, error)
        else:
            commit.add(*part)

    def _wait(self, subject: str | None, now: float) -> float:
        """Return how many seconds a request of ``subject`` would wait before its first message is in a commit."""
        underway = self._throughput.underway(now)
        if self._cost <= MAX_PER_COMMIT:
            return underway  # the next commit takes it
        queue = self._queues.get(subject)
        ahead = (queue.cost if queue else 0.0) + TURN_COST
        return max(underway, min(self._cost, ahead * (len(self._queues) + 1)) / self._throughput.per_second)

    def _change_cost(self, queue: _SubjectQueue, cost: float) -> None:
        queue.cost += cost
        self._cost += cost


class _Throughput:
    """The throughput of commits, as cost a second, averaged over the last seconds."""

    _MEMORY: Final = 1.0  # seconds after which a commit weighs 1/e
    _LONGEST: Final = 1.0  # seconds counted of one commit, because one that hung predicts little

    def __init__(self) -> None:
        self._cost: float = _UNMEASURED * self._MEMORY
        self._seconds = self._MEMORY
        self._begun: float | None = None

    @property
    def per_second(self) -> float:
        """The cost committed in a second; at least 1."""
        return max(self._cost / self._seconds, 1.0)

    def begin(self, now: float) -> None:
        """Note that a commit begins."""
        self._begun = now

    def end(self, now: float, cost: float) -> None:
        """Note that a commit of ``cost`` has ended."""
        seconds = min(now - self._begun, self._LONGEST) if self._begun is not None else 0.0
        self._begun = None
        left = math.exp(-seconds / self._MEMORY)
        self._cost = self._cost * left + cost
        self._seconds = self._seconds * left + seconds

    def abandon(self) -> None:
        """Note that a commit has failed, which is not measured."""
        self._begun = None

    def underway(self, now: float) -> float:
        """Return for how many seconds a commit has been running, or 0."""
        return 0.0 if self._begun is None else now - self._begun


def _stop(request: Request, share: float, commit: Commit) -> int:
    """Return the end (exclusive) of the next slice of ``request``, which has at least one message."""
    count = len(request.messages)
    if share == math.inf and commit.count + count <= MAX_PER_COMMIT:
        return count  # the usual case, in which one request may exceed the commit's bytes
    cost, size, stop = request.cost(request.taken, request.taken), commit.size, request.taken
    most = min(count, request.taken + max(1, MAX_PER_COMMIT - commit.count))
    while stop < most and (stop == request.taken or (cost < share and size < MAX_BYTES_PER_COMMIT)):
        size += request.sizes[stop]
        cost += 1 + request.sizes[stop] / _BYTES_PER_COST
        stop += 1
    return stop


def _size(message: NewMessage) -> int:
    """Return the bytes of ``message`` in memory; Python stores a character in up to four bytes."""
    return _BYTES_PER_MESSAGE + sys.getsizeof(message.content) + sys.getsizeof(message.metadata)
