"""The dispatcher: claims due deliveries in the outbox, sends them to the orchestrator, and stores the outcome.

Any number of dispatchers may run, inside the service's processes or alone (`verbatim deliver`). Each claims only as
many deliveries as it can send at once, so that no lease runs while a delivery waits. A lease is longer than an attempt
and the storing of its outcome can take together. If a dispatcher dies, its leases expire and others send its deliveries
again. So the orchestrator gets each delivery at least once, and may get it twice, under one `webhook-id`. No
transaction is open while the dispatcher waits for the orchestrator.

It polls the outbox about every `POLL_INTERVAL` seconds, because other processes do not wake it and retries become due
by time. It also looks when its own process queues a delivery, and when an attempt ends.
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

CONCURRENCY: Final = 16  # deliveries that one dispatcher sends at once
POLL_INTERVAL: Final = 1.0  # seconds between two looks into the outbox
LEASE_MARGIN: Final = 30.0  # seconds of a lease beyond the attempt's time-out, to store the outcome
STOP_SECONDS: Final = 10.0  # seconds in which running attempts may finish at shutdown

log = structlog.get_logger(__name__)


class Dispatcher:
    """Sends the deliveries of the outbox to the orchestrator; ``schedule`` holds the waits between attempts."""

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
        self._running: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Start the task; call it from inside the event loop. A second call does nothing."""
        self._task = self._task or asyncio.create_task(self._run(), name="dispatcher")

    async def close(self) -> None:
        """Claim no more, and wait up to STOP_SECONDS for running attempts; calling it twice is safe.

        Attempts that are cut off are repeated by another dispatcher when their leases expire.
        """
        self._closing = True
        self._outbox.woken.set()
        if self._task is not None:
            await asyncio.wait({self._task})
        if self._running:
            _, left = await asyncio.wait(self._running, timeout=STOP_SECONDS)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _run(self) -> None:
        while not self._closing:
            # Cleared before the look, so that a delivery which is queued during the look triggers another one.
            self._outbox.woken.clear()
            pause = POLL_INTERVAL
            try:
                await self._claim_due()
            except Exception as error:  # noqa: BLE001 -- the next look may succeed
                log.warning("outbox cannot be read", **describe(error))
                pause *= 5
            # Random, so that not all processes look at the same moment.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.5, 1.5)):  # noqa: S311
                    await self._outbox.woken.wait()

    async def _claim_due(self) -> None:
        free = CONCURRENCY - len(self._running)
        if not free:
            return
        lease = timedelta(seconds=self._orchestrator.timeout + LEASE_MARGIN)
        for claimed in await deliveries.claim(self._database, free, lease):
            task = asyncio.create_task(self._deliver(claimed), name="delivery")
            self._running.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        # A slot is free, and the conversation's next delivery may be due now.
        self._running.discard(task)
        self._outbox.wake()

    async def _deliver(self, claimed: Claimed) -> None:
        started = time.perf_counter()
        try:
            answer = await self._orchestrator.send(claimed.id, claimed.body)
            outcome = self._outcome(claimed, answer)
            settled = await self._settle(claimed, outcome)
        except Exception:
            # No answer of an orchestrator causes this. The lease expires, and the delivery is sent again.
            log.exception("dispatcher failed", webhook_id=webhook_id(claimed.id))
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
        if answer.accepted:
            return Outcome(DeliveryState.DELIVERED, answer.status)
        if answer.gone:
            return Outcome(DeliveryState.HELD, answer.status, answer.error)
        wait = wait_after(claimed.attempt - claimed.spent, self._schedule, answer.retry_after)
        if wait is None:
            return Outcome(DeliveryState.FAILED, answer.status, answer.error)
        return Outcome(DeliveryState.PENDING, answer.status, answer.error, wait)

    async def _settle(self, claimed: Claimed, outcome: Outcome) -> bool:
        """Store the outcome of an attempt, with retries while the database is unavailable, for half of LEASE_MARGIN.

        Return whether it was stored; False if another dispatcher has claimed the delivery since.
        """
        deadline = time.monotonic() + LEASE_MARGIN / 2
        while True:
            try:
                return await deliveries.settle(self._database, self._outbox, claimed, outcome)
            except Unavailable as unavailable:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(unavailable.retry_after or 1)
