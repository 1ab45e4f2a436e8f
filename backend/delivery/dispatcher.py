"""The dispatcher: claims what is due in the outbox, tells the orchestrator, and writes down what became of it.

Any number of them may run, in the service's processes and alone. Each claims only what it can carry at once, so that no
lease runs while its delivery waits for a hand. A lease is longer than an attempt can take and its outcome can take to
be written down. A dispatcher that dies leaves its leases to run out, and others send again what it had in hand: the
orchestrator may hear twice, under one `webhook-id`, and never not at all. No transaction is open while it is awaited.

It looks when it is woken, when it has a hand free again, and every second or so, because nobody wakes it for what other
processes queue or for what has waited long enough.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.delivery_dao import Claimed
from backend.delivery.orchestrator import DeliveryResult, Orchestrator
from backend.delivery.schedule import SCHEDULE, wait_after
from backend.errors import Unavailable
from backend.observability import metrics
from backend.schemas.delivery import webhook_id
from backend.services import deliveries
from backend.services.deliveries import Outcome
from backend.services.outbox import Outbox
from backend.vocabulary import DeliveryState

HANDS: Final = 16  # deliveries that are carried at once
PAUSE: Final = 1.0  # seconds between two looks
MARGIN: Final = 30.0  # seconds for writing down what became of an attempt
STOP_SECONDS: Final = 10.0  # seconds for what is in hand when it stops

log = structlog.get_logger(__name__)


class Dispatcher:
    """Carries what waits in the outbox to the orchestrator. ``schedule`` are the waits between attempts."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        orchestrator: Orchestrator,
        schedule: Sequence[timedelta] = SCHEDULE,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._orchestrator = orchestrator
        self._schedule = schedule
        self._in_hand: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin to carry; from inside the event loop."""
        self._task = self._task or asyncio.create_task(self._run(), name="dispatcher")

    async def close(self) -> None:
        """Claim no more, and finish what is in hand within STOP_SECONDS; others send the rest. Safe to call twice."""
        self._closing = True
        self._outbox.woken.set()
        if self._task is not None:
            await asyncio.wait({self._task})
        if self._in_hand:
            _, left = await asyncio.wait(self._in_hand, timeout=STOP_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _run(self) -> None:
        while not self._closing:
            # Cleared before the look: whoever queues something during it wakes us again.
            self._outbox.woken.clear()
            pause = PAUSE
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 -- whatever it is, the next look may go better
                log.warning("deliveries not looked for", **describe(error))
                pause *= 5
            # Not all processes at the same moment.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.5, 1.5)):  # noqa: S311
                    await self._outbox.woken.wait()

    async def _look(self) -> None:
        free = HANDS - len(self._in_hand)
        if not free:
            return
        lease = timedelta(seconds=self._orchestrator.timeout + MARGIN)
        for claimed in await deliveries.claim(self._database, free, lease):
            task = asyncio.create_task(self._carry(claimed), name="delivery")
            self._in_hand.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        # A hand is free, and what the conversation has to say next may be due.
        self._in_hand.discard(task)
        self._outbox.wake()

    async def _carry(self, claimed: Claimed) -> None:
        started = time.perf_counter()
        try:
            answer = await self._orchestrator.tell(claimed.id, claimed.body)
            outcome = self._outcome(claimed, answer)
            settled = await self._settle(claimed, outcome)
        except Exception:
            # Nothing that an orchestrator could do. The lease runs out, and it is sent again.
            log.exception("fault of the dispatcher", webhook_id=webhook_id(claimed.id))
            return
        metrics.DELIVERIES.labels("retried" if outcome.state is DeliveryState.PENDING else outcome.state).inc()
        log.info(
            "delivery",
            webhook_id=webhook_id(claimed.id),
            attempt=claimed.attempt,
            state=outcome.state,
            status=answer.status,
            error=answer.error,
            settled=settled,
            ms=round((time.perf_counter() - started) * 1000, 2),
        )

    def _outcome(self, claimed: Claimed, answer: DeliveryResult) -> Outcome:
        if answer.taken:
            return Outcome(DeliveryState.DELIVERED, answer.status)
        if answer.gone:
            return Outcome(DeliveryState.HELD, answer.status, answer.error)
        wait = wait_after(claimed.attempt - claimed.spent, self._schedule, answer.retry_after)
        if wait is None:
            return Outcome(DeliveryState.FAILED, answer.status, answer.error)
        return Outcome(DeliveryState.PENDING, answer.status, answer.error, wait)

    async def _settle(self, claimed: Claimed, outcome: Outcome) -> bool:
        """Write down what became of an attempt, and if the database is away, again until the lease is nearly over."""
        deadline = time.monotonic() + MARGIN / 2
        while True:
            try:
                return await deliveries.settle(self._database, self._outbox, claimed, outcome)
            except Unavailable as unavailable:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(unavailable.retry_after or 1)
