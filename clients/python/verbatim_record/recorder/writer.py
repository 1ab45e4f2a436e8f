"""The writer: the one task of a recorder that sends its messages, in order, with retries.

Messages wait in memory, oldest first, and all that wait are sent together, up to `BATCH`. A failed batch is sent again,
the same bytes with the same ids, after waits that grow exponentially with jitter. The next batch is sent when every
message of the current one has its final answer. So at every moment the record holds a beginning of the conversation.

A batch that is refused as a whole because of one message is sent in halves, the first half first, until that message is
refused alone. It is set aside with the reason, and the next batches grow again.

A message for which alone the service fails (a 500 in its place of the batch) is sent again like all others, because it
is unknown whether it was stored. After `ISOLATED_FAILURE_TIMEOUT` seconds of that it is set aside with the reason, so
that one message, which a constraint in the database may refuse for ever, does not block all later ones.

Memory is bounded (back-pressure). While it is full, new messages go to the spool alone, and the writer reads them back,
in order, when its memory is empty. A recorder that opens a spool with messages of an earlier run begins in this state:
messages that a crash left and messages that an outage left take the same path.
"""

import asyncio
import logging
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Final

from verbatim_record.recorder import stats
from verbatim_record.recorder.entry import Entry
from verbatim_record.recorder.faults import CarefulLog, place_of
from verbatim_record.recorder.sinks import Answer, BatchRefused, Sink, Unsent
from verbatim_record.recorder.spool.spool import Spool

BATCH: Final = 50  # messages; reading 100 blocks the event loop for 4 ms on a slow machine
BATCH_BYTES: Final = 2**20  # a quarter of the service's limit for a request
FIRST_PAUSE: Final = 0.1  # seconds between the first two attempts; each further pause is twice as long
LONGEST_PAUSE: Final = 2.0  # seconds between two attempts, unless the sink asks for more
JITTER: Final = 0.5  # seconds; the longest random part of a pause
ISOLATED_FAILURE_TIMEOUT: Final = 600.0  # seconds in which a message is retried for which alone the service fails

log: Final = CarefulLog(logging.getLogger(__name__))


class Writer:
    """Sends entries to ``sink`` in order, and retries without end.

    ``memory`` bounds the waiting entries in bytes; ``patience`` is the time-out of an attempt in seconds.
    """

    def __init__(self, sink: Sink, spool: Spool, *, memory: int, patience: float) -> None:
        self._sink = sink
        self._spool = spool
        self._memory = memory
        self._patience = patience
        self._waiting: deque[Entry] = deque()
        self._batch: list[Entry] = []
        self._send_count = BATCH  # how many entries of the batch are sent in one request
        self._memory_used = 0  # bytes
        self._spool_only = False  # entries after those in memory are in the spool alone
        self._spool_only_since: float | None = None
        self._spooled_meanwhile = 0  # entries that went to the spool alone since it was last read
        self._arrival: asyncio.Future[None] | None = None  # what the task waits for when it has nothing to send
        self._idle = asyncio.Event()
        self.sent = 0
        self.refusals: Counter[str] = Counter()  # by reason
        self._stopped = False
        self._failures = 0  # attempts in a row that failed
        self.trouble: str | None = None  # why the last attempt failed, if it did

    @property
    def refused(self) -> int:
        """The number of refused messages."""
        return self.refusals.total()

    @property
    def is_idle(self) -> bool:
        """Whether every message has its final answer."""
        return not (self._batch or self._waiting or self._spool_only)

    async def drained(self) -> None:
        """Wait until the writer is idle."""
        while not self.is_idle:
            self._idle.clear()
            await self._idle.wait()

    @property
    def oldest(self) -> float | None:
        """When the oldest message without an answer was said, in seconds since 1970, or None."""
        for entries in (self._batch, self._waiting):
            with suppress(IndexError):  # and not a look before: a scrape reads this in another thread
                return entries[0].at
        return self._spool_only_since if self._spool_only else None

    def catch_up(self, since: float | None) -> None:
        """Send the messages in the spool first; ``since`` is when the oldest was said, in seconds since 1970."""
        self._use_spool_only(since)
        if self._arrival is not None:
            self._wake(self._arrival)

    def take(self, entry: Entry) -> None:
        """Queue ``entry``; if it does not fit into memory, it is read from the spool later."""
        if self._spool_only or self._memory_used + entry.size > self._memory:
            entry.kept = False
            self._use_spool_only(entry.at)
            self._spooled_meanwhile += 1
        else:
            self._memory_used += entry.size
            self._waiting.append(entry)
        if self._arrival is not None:
            self._wake(self._arrival)

    async def run(self) -> None:
        """Send until the task is cancelled."""
        while True:
            try:
                await self._work()
            except Exception as error:  # noqa: BLE001 -- without it nothing would be sent any more
                log.error("writer failed: %(why)s", {"why": place_of(error)})
                await asyncio.sleep(LONGEST_PAUSE)

    def stop(self, task: asyncio.Task[None]) -> None:
        """Cancel ``task``, in which `run` runs; a later answer does not count, because the spool has the message."""
        self._stopped = True
        task.cancel()

    async def _work(self) -> None:
        while not self.is_idle:
            if self._batch:
                await self._send()
            elif self._waiting:
                self._batch = self._next()
            else:
                await self._read_back()
        self._idle.set()
        self._arrival = asyncio.get_running_loop().create_future()
        await self._arrival

    def _wake(self, arrival: asyncio.Future[None]) -> None:
        self._arrival = None
        if not arrival.done() and not arrival.get_loop().is_closed():  # the task may have been cancelled, or ended
            arrival.set_result(None)

    def _use_spool_only(self, since: float | None) -> None:
        if not self._spool_only:
            self._spool_only, self._spool_only_since = True, since

    async def _read_back(self) -> None:
        self._spooled_meanwhile = 0
        entries, more = await self._spool.read(BATCH, min(BATCH_BYTES, self._memory))
        if more and not entries:  # sending later messages now would reorder the conversation
            await asyncio.sleep(LONGEST_PAUSE)
        sound = [entry for entry in entries if not entry.reason]
        self._waiting.extend(sound)
        self._memory_used += sum(entry.size for entry in sound)
        self._spool_only = more or self._spooled_meanwhile > 0
        self._count_refusals([entry.reason for entry in entries if entry.reason])

    def _next(self) -> list[Entry]:
        batch: list[Entry] = []
        size = 0
        for entry in islice(self._waiting, BATCH):
            size += len(entry.body)  # it is encoded here, and must still wait if that fails
            if batch and size > BATCH_BYTES:
                break
            batch.append(entry)
        for _ in batch:
            self._waiting.popleft()
        return batch

    async def _send(self) -> None:
        """Send the batch once; after a failure, wait before the next attempt."""
        try:
            await self._attempt()
        except Unsent as error:
            self._note_trouble(str(error))
            self._failures += 1
            await asyncio.sleep(_pause(self._failures, error.retry_after))
        else:
            self._failures, self.trouble = 0, None

    def _note_trouble(self, why: str) -> None:
        """Log a reason once, not for each of the attempts that fail for it."""
        if why != self.trouble:
            log.warning("messages are not sent, and will be sent again: %(why)s", {"why": why})
        self.trouble = why

    async def _attempt(self) -> None:
        """Send the batch once and keep the entries without a final answer; raises Unsent if there are any."""
        before = _cancellations()
        try:
            await self._send_batch()
        except Unsent:
            raise
        except asyncio.CancelledError:
            if self._stopped or _cancellations() > before:
                raise
            # Something that the sink waits for was cancelled, and not the writer, which would end unnoticed.
            raise Unsent("the sink cancelled its own work") from None
        except Exception as error:  # noqa: BLE001 -- an error of a sink must not lose messages
            raise Unsent(type(error).__name__) from None

    async def _send_batch(self) -> None:
        batch = self._batch[: self._send_count]
        try:
            async with asyncio.timeout(self._patience):
                answers = await self._sink.send([entry.body for entry in batch])
        except BatchRefused as refusal:
            if len(batch) > 1:
                self._send_count = len(batch) // 2
                return
            answers = [Answer(final=True, reason=str(refusal))]
        if self._stopped:  # the sink did not let itself be cancelled, and the spool has told what is left
            raise asyncio.CancelledError
        if len(answers) != len(batch):
            raise Unsent("the sink does not answer for each message")
        if self._settle(batch, answers) < len(batch):
            raise Unsent("some messages have to be sent again")
        self._send_count = min(2 * self._send_count, BATCH)

    def _settle(self, batch: Sequence[Entry], answers: Sequence[Answer]) -> int:
        """Process the answers to ``batch``, the first entries of the current batch, and return how many are final."""
        answered = [
            (entry, _limit_isolated_failure(entry, answer)) for entry, answer in zip(batch, answers, strict=True)
        ]
        final = [(entry, answer) for entry, answer in answered if answer.final]
        kept = [(entry, answer.reason) for entry, answer in final if answer.reason and not answer.forgotten]
        self._batch = [entry for entry, answer in answered if not answer.final] + self._batch[len(batch) :]
        self._spool.refuse(kept)
        self._spool.settle([entry for entry, answer in final if not answer.reason or answer.forgotten])
        self._memory_used -= sum(entry.size for entry, _ in final)
        reasons = [answer.reason for _, answer in final if answer.reason]
        self._count_refusals(reasons)
        self.sent += len(final) - len(reasons)
        stats.TOTALS["sent"] += len(final) - len(reasons)
        return len(final)

    def _count_refusals(self, reasons: Sequence[str]) -> None:
        for reason in reasons:
            log.warning("message refused: %(why)s", {"why": reason})
        self.refusals.update(reasons)
        stats.TOTALS["refused"] += len(reasons)


def _cancellations() -> int:
    """Return how often this task was cancelled; a library that does not take its own ones back leaves them in it."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def _limit_isolated_failure(entry: Entry, answer: Answer) -> Answer:
    """Return ``answer``, final if the service has failed for this message alone for `ISOLATED_FAILURE_TIMEOUT`."""
    if answer.final or not answer.reason:
        return answer
    now = time.monotonic()
    if entry.failing is None:
        entry.failing = now
    return Answer(final=True, reason=answer.reason) if now - entry.failing >= ISOLATED_FAILURE_TIMEOUT else answer


def _pause(failures: int, retry_after: float | None) -> float:
    """Return the seconds to wait after ``failures`` failed attempts in a row, at least 1."""
    if retry_after:
        return retry_after + random.random()  # noqa: S311 -- so that not all come back at once
    growing: float = FIRST_PAUSE * 2 ** min(failures - 1, 10)
    return min(growing + random.uniform(0, JITTER), LONGEST_PAUSE)  # noqa: S311 -- as above
