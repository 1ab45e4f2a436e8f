"""The outbox: queueing, claiming and settling what the orchestrator is to be told. The clock is the database's.

Who claims a delivery has a lease on it, and its number of attempts to show for it. If the lease runs out before it is
settled, somebody else claims it, and the number has grown: whoever comes late with the old one changes nothing.

Within a conversation deliveries go in order. They are numbered under its lock, and none is claimed while an earlier one
is pending, be it due, under way or waiting.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import Interval, bindparam, case, delete, exists, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from backend.dao_service.models import Delivery, StoppedOrchestrator
from backend.vocabulary import DeliveryState

# The database's plan may ask an IN for its rows more than once; what is MATERIALIZED it asks for once, and so locks no
# more than `limit`.
_CLAIM: Final = text("""
    WITH due AS MATERIALIZED (
        SELECT id FROM deliveries AS candidate
        WHERE state = 'pending' AND due_at <= now() AND (leased_until IS NULL OR leased_until <= now())
            AND NOT EXISTS (
                SELECT FROM deliveries AS earlier
                WHERE earlier.conversation_id = candidate.conversation_id
                    AND earlier.number < candidate.number AND earlier.state = 'pending'
            )
        ORDER BY due_at, number LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    UPDATE deliveries AS claimed
    SET attempts = attempts + 1, leased_until = now() + :lease, last_attempt_at = now(), last_status = NULL,
        last_error = NULL
    FROM due WHERE claimed.id = due.id
    RETURNING claimed.id, body, attempts, spent
""").bindparams(bindparam("lease", type_=Interval))
MOST_COUNTED: Final = 100_000  # deliveries in one state; a count of millions would take seconds
_BACKLOG: Final = text("""
    SELECT state, count(created_at), min(created_at)
    FROM (VALUES ('pending'), ('held'), ('failed')) AS wanted (state)
    LEFT JOIN LATERAL (
        SELECT created_at FROM deliveries WHERE deliveries.state = wanted.state ORDER BY number LIMIT :most
    ) AS counted ON true
    GROUP BY state
""")

_STRIDE: Final = 20_000
_DUE_NOW: Final = {"state": DeliveryState.PENDING, "due_at": func.now(), "spent": Delivery.attempts}


class NewDelivery(NamedTuple):
    """What is to be queued: ``body`` is what will be signed and sent, ``version`` that of the intent in it."""

    id: UUID
    conversation_id: UUID
    type: str
    version: str
    body: str


class Claimed(NamedTuple):
    """A delivery in hand: its ``attempt`` is the how-manieth there ever was, and how many of those count no more."""

    id: UUID
    body: str
    attempt: int
    spent: int


class Backlog(NamedTuple):
    """How many deliveries are pending, held and failed, each counted up to ``MOST_COUNTED``.

    ``oldest`` is since when the oldest pending one is.
    """

    pending: int
    held: int
    failed: int
    oldest: datetime | None


class DeliveryDAO:
    """Questions about deliveries, and changes of them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, new: NewDelivery, url_digest: bytes) -> None:
        """Queue a delivery of a conversation that the caller holds locked; to whom wants none it is held."""
        stopped = exists().where(StoppedOrchestrator.url_digest == url_digest)
        state = case((stopped, literal(DeliveryState.HELD.value)), else_=literal(DeliveryState.PENDING.value))
        await self._session.execute(insert(Delivery).values(**new._asdict(), state=state))

    async def of_version(self, conversation_id: UUID, version: str) -> UUID | None:
        """Return the latest delivery of the conversation's that tells of this version of its intent."""
        return await self._session.scalar(
            select(Delivery.id)
            .where(Delivery.conversation_id == conversation_id, Delivery.version == version)
            .order_by(Delivery.number.desc())
            .limit(1)
        )

    async def claim(self, limit: int, lease: timedelta) -> Sequence[Claimed]:
        """Take at most ``limit`` deliveries that are due, for as long as the lease lasts; nobody waits for anybody."""
        found = await self._session.execute(_CLAIM, {"limit": limit, "lease": lease})
        return [Claimed(*row) for row in found]

    async def settle(
        self, claimed: Claimed, state: DeliveryState, status: int | None, error: str | None, wait: timedelta
    ) -> bool:
        """Write down what became of a claimed delivery; False if somebody else has claimed it since, or it is gone.

        One that was held meanwhile stays so, unless it was taken after all.
        """
        delivered = state is DeliveryState.DELIVERED
        settled = await self._session.scalar(
            update(Delivery)
            .where(Delivery.id == claimed.id, Delivery.attempts == claimed.attempt, Delivery.leased_until.is_not(None))
            .values(
                state=state if delivered else case((Delivery.state == DeliveryState.HELD, Delivery.state), else_=state),
                last_status=status,
                last_error=error,
                leased_until=None,
                due_at=func.now() + wait,
                delivered_at=func.now() if delivered else Delivery.delivered_at,
            )
            .returning(Delivery.id)
        )
        return settled is not None

    async def stop(self, url_digest: bytes) -> None:
        """Hold everything that is pending, and all that will be queued, because the orchestrator wants no more."""
        await self._session.execute(
            insert(StoppedOrchestrator)
            .values(url_digest=url_digest)
            # Of two who are told so at once, the second waits here and not among the rows.
            .on_conflict_do_update(index_elements=[StoppedOrchestrator.url_digest], set_={"stopped_at": func.now()})
        )
        await self._session.execute(
            update(Delivery).where(Delivery.state == DeliveryState.PENDING).values(state=DeliveryState.HELD)
        )

    async def resume(self) -> int:
        """Let everything that is held be due now, and orchestrators that wanted no more be asked again.

        Return how many deliveries were held.
        """
        await self._session.execute(delete(StoppedOrchestrator))
        return await self._retry_all(DeliveryState.HELD)

    async def get(self, delivery_id: UUID) -> Delivery | None:
        """Return a delivery without its body, or None if there is none."""
        return await self._session.scalar(
            select(Delivery).options(defer(Delivery.body, raiseload=True)).where(Delivery.id == delivery_id)
        )

    async def retry_failed(self) -> int:
        """Let everything that has failed be due now, and return how many deliveries those were."""
        return await self._retry_all(DeliveryState.FAILED)

    async def retry(self, delivery_id: UUID) -> Delivery | None:
        """Let a delivery be due now, with all attempts before it, and return it, or None if there is none."""
        return await self._session.scalar(
            update(Delivery).where(Delivery.id == delivery_id).values(_DUE_NOW).returning(Delivery)
        )

    async def newest(
        self, state: DeliveryState | None, conversation_id: UUID | None, *, before: int | None, limit: int
    ) -> Sequence[Delivery]:
        """Return at most ``limit`` deliveries without their bodies, newest first, from just behind ``before``."""
        statement = (
            select(Delivery).options(defer(Delivery.body, raiseload=True)).order_by(Delivery.number.desc()).limit(limit)
        )
        if state is not None:
            statement = statement.where(Delivery.state == state)
        if conversation_id is not None:
            statement = statement.where(Delivery.conversation_id == conversation_id)
        if before is not None:
            statement = statement.where(Delivery.number < before)
        return (await self._session.scalars(statement)).all()

    async def backlog(self) -> Backlog:
        """Return what waits, and what will not go on by itself."""
        found = await self._session.execute(_BACKLOG, {"most": MOST_COUNTED})
        counted = {DeliveryState(state): (count, oldest) for state, count, oldest in found}
        pending, oldest = counted[DeliveryState.PENDING]
        return Backlog(pending, counted[DeliveryState.HELD][0], counted[DeliveryState.FAILED][0], oldest)

    async def _retry_all(self, state: DeliveryState) -> int:
        # No statement may take long; changing very many rows at one stroke would.
        retried, count = 0, _STRIDE
        while count == _STRIDE:
            # In one order, so that two transactions that do this at once do not wait for each other.
            found = select(Delivery.id).where(Delivery.state == state).order_by(Delivery.number).limit(_STRIDE)
            locked = found.with_for_update().cte("locked")
            changed = await self._session.scalars(
                update(Delivery)
                .where(Delivery.id == locked.c.id)
                .values(_DUE_NOW)
                .returning(Delivery.id)
                .execution_options(synchronize_session=False)
            )
            count = len(changed.all())
            retried += count
        return retried
