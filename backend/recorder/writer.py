"""The one task of a recorder that sends: what was said first goes first, and nothing overtakes it.

Messages wait in memory, oldest first, and all that wait travel together. A batch that failed stays in hand and is sent
again, the same bytes with the same ids, after waits that rise and are never quite the same; the next one leaves when
every message of it has its final answer. So the record holds, at every moment, a beginning of what was said.

A batch that is refused as a whole, because of one message in it, is sent in halves, the first half first, until a
message that is refused alone is found. That one is set aside with the reason, and the next batches grow again.

A message for which the service fails by itself (500 in its place of the batch) is sent again like all others, because
it is unknown whether it was stored. If that lasts for `STUBBORN` seconds it is set aside with the reason, so that one
message, which a rule in the database may refuse for ever, does not keep all later ones from the record.

Memory is bounded. When it is full, what is said from then on goes to the spool alone (`behind`), and is read back,
in order, when memory is empty. A recorder that finds a spool with messages of the last run begins that way: there is
one path for what is left, whether a crash or an outage left it.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import stamina
import structlog

from backend.observability import metrics
from backend.recorder.entry import Entry
from backend.recorder.sinks import Answer, BatchRefused, Sink, Unsent
from backend.recorder.spool import Spool

BATCH: Final = 50  # messages; to read a hundred holds the event loop for four milliseconds on a slow machine
BATCH_BYTES: Final = 2**20  # a quarter of what the service takes at once
LONGEST_PAUSE_SECONDS: Final = 2.0  # seconds between two attempts, unless the sink asks for more
STUBBORN: Final = 600.0  # seconds for which a message is sent again for which alone the service fails

_PERSISTENT: Final = stamina.AsyncRetryingCaller(
    attempts=None, timeout=None, wait_initial=0.1, wait_max=LONGEST_PAUSE_SECONDS, wait_jitter=0.5
)

log = structlog.get_logger(__name__)


class Writer:
    """Sends what it is given to ``sink``, in order, for as long as it takes; an attempt lasts ``patience`` seconds."""

    def __init__(self, sink: Sink, spool: Spool, *, memory: int, patience: float) -> None:
        self._sink = sink
        self._spool = spool
        self._memory = memory
        self._patience = patience
        self._waiting: deque[Entry] = deque()
        self._in_hand: list[Entry] = []
        self._portion = BATCH  # how many of those in hand travel together
        self._held = 0  # bytes in memory
        self._behind = False  # some of what comes next is in the spool alone
        self._behind_since: float | None = None
        self._missed = 0  # messages that went there since it was last asked
        self._arrived = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.sent = 0
        self.refusals: Counter[str] = Counter()  # by reason
        self.trouble: str | None = None  # why the last attempt failed, if it did

    @property
    def refused(self) -> int:
        """How many messages were refused."""
        return self.refusals.total()

    @property
    def oldest(self) -> float | None:
        """When the first was said of what has no answer yet, in seconds since 1970."""
        for entries in (self._in_hand, self._waiting):
            if entries:
                return entries[0].at
        return self._behind_since if self._behind else None

    def catch_up(self, since: float | None) -> None:
        """Begin with what is in the spool, ``since`` the moment of the first of it."""
        self._fall_behind(since)
        self._wake()

    def take(self, entry: Entry) -> None:
        """Send ``entry`` when its turn comes; what does not fit into memory will be read from the spool."""
        if self._behind or self._held + len(entry.body) > self._memory:
            entry.kept = False
            self._fall_behind(entry.at)
            self._missed += 1
        else:
            self._held += len(entry.body)
            self._waiting.append(entry)
        self._wake()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                await self._work()
            except Exception as error:
                log.error("writer failed", exc_info=error)
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    async def _work(self) -> None:
        while self._in_hand or self._waiting or self._behind:
            if self._in_hand:
                await self._send()
            elif self._waiting:
                self._in_hand = self._next()
            else:
                await self._read_back()
        self.idle.set()
        self._arrived.clear()
        await self._arrived.wait()

    def _wake(self) -> None:
        if not self._arrived.is_set():
            self.idle.clear()
            self._arrived.set()

    def _fall_behind(self, since: float | None) -> None:
        if not self._behind:
            self._behind, self._behind_since = True, since

    async def _read_back(self) -> None:
        self._missed = 0
        entries, more = await self._spool.read(BATCH, min(BATCH_BYTES, self._memory))
        sound = [entry for entry in entries if not entry.reason]
        self._waiting.extend(sound)
        self._held += sum(len(entry.body) for entry in sound)
        self._behind = more or self._missed > 0
        self._count_refusals([entry.reason for entry in entries if entry.reason])

    def _next(self) -> list[Entry]:
        batch = [self._waiting.popleft()]
        size = len(batch[0].body)
        while self._waiting and len(batch) < BATCH and size + len(self._waiting[0].body) <= BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].body)
        return batch

    async def _send(self) -> None:
        try:
            # Without arguments: stamina writes down what it calls with what.
            await _PERSISTENT(_again, self._attempt)
        except Unsent:
            await asyncio.sleep(LONGEST_PAUSE_SECONDS)  # only where the host has forbidden stamina to try again

    async def _attempt(self) -> None:
        """Send what is in hand, and keep what has no final answer there; raises Unsent when that is anything."""
        try:
            await self._ask()
        except Unsent as error:
            self.trouble = str(error)
            raise
        except Exception as error:  # noqa: BLE001 -- whatever a sink does, nothing is lost by it
            self.trouble = type(error).__name__
            raise Unsent(self.trouble) from None
        self.trouble = None

    async def _ask(self) -> None:
        batch = self._in_hand[: self._portion]
        try:
            async with asyncio.timeout(self._patience):
                answers = await self._sink.send([entry.body for entry in batch])
        except BatchRefused as refusal:
            if len(batch) > 1:
                self._portion = len(batch) // 2
                return
            answers = [Answer(final=True, reason=str(refusal))]
        if len(answers) != len(batch):
            raise Unsent("the sink does not answer for each message")
        if self._settle(batch, answers) < len(batch):
            raise Unsent("some messages have to be sent again")
        self._portion = min(2 * self._portion, BATCH)

    def _settle(self, batch: Sequence[Entry], answers: Sequence[Answer]) -> int:
        """Note the answers to ``batch``, the first of those in hand, and return how many are final."""
        judged = [(entry, _bounded(entry, answer)) for entry, answer in zip(batch, answers, strict=True)]
        final = [(entry, answer) for entry, answer in judged if answer.final]
        kept = [(entry, answer.reason) for entry, answer in final if answer.reason and not answer.forgotten]
        self._in_hand = [entry for entry, answer in judged if not answer.final] + self._in_hand[len(batch) :]
        self._spool.refuse(kept)
        self._spool.settle([entry for entry, answer in final if not answer.reason or answer.forgotten])
        self._held -= sum(len(entry.body) for entry, _ in final)
        reasons = [answer.reason for _, answer in final if answer.reason]
        self._count_refusals(reasons)
        self.sent += len(final) - len(reasons)
        metrics.RECORDER_SENT.inc(len(final) - len(reasons))
        return len(final)

    def _count_refusals(self, reasons: Sequence[str]) -> None:
        for reason in reasons:
            log.warning("message refused", why=reason)
        self.refusals.update(reasons)
        metrics.RECORDER_REFUSED.inc(len(reasons))


def _bounded(entry: Entry, answer: Answer) -> Answer:
    """Return ``answer``, made final if the service has failed for this message alone for `STUBBORN` seconds."""
    if answer.final or not answer.reason:
        return answer
    now = time.monotonic()
    if entry.failing is None:
        entry.failing = now
    return Answer(final=True, reason=answer.reason) if now - entry.failing >= STUBBORN else answer


def _again(error: Exception) -> bool | float:
    """Tell whether, or after how many seconds, to try again; stamina asks of a cancellation, too."""
    if isinstance(error, Unsent) and error.retry_after:
        return error.retry_after + random.random()  # noqa: S311 -- so that not all come back at once
    return isinstance(error, Unsent)
