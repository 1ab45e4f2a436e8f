"""SQL of the outbox: queue, claim and settle deliveries to the orchestrator. All times are PostgreSQL's.

A dispatcher that claims a delivery gets a lease on it and raises its number of attempts. If the lease expires before
the delivery is settled, another dispatcher claims it and raises the number again. So the number identifies a claim:
a dispatcher that settles too late, with the old number, changes nothing.

Deliveries of one conversation are sent in order. They are numbered while its row is locked, each above the last one,
and none is claimed while an earlier one is pending, whether that is due, leased or waiting for its next attempt. A
number is a time, because a sequence is no order on a cluster; deliveries of two conversations may have the same one.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Interval,
    and_,
    any_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import array, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from backend.dao_service.models import Delivery, StoppedOrchestrator
from backend.dao_service.models.base import NUMBER
from backend.vocabulary import DeliveryState

_BEFORE: Final = text(f"""
    SELECT EXISTS (SELECT FROM stopped_orchestrators WHERE url_digest = :url_digest),
        greatest({NUMBER}, (SELECT max(number) + 1 FROM deliveries WHERE conversation_id = :conversation_id))
""")  # noqa: S608 -- made of constants
# PostgreSQL may evaluate the subquery of an IN more than once; a MATERIALIZED one is evaluated once, and so locks at
# most `limit` rows. It expects that few are pending, and would look through all of those for each candidate. The index
# of these does not apply to a state with a text added, so it looks through the conversation's.
_CLAIM: Final = text("""
    WITH due AS MATERIALIZED (
        SELECT id FROM deliveries AS candidate
        WHERE state = 'pending' AND due_at <= now() AND (leased_until IS NULL OR leased_until <= now())
            AND NOT EXISTS (
                SELECT FROM deliveries AS earlier
                WHERE earlier.conversation_id = candidate.conversation_id
                    AND earlier.number < candidate.number AND earlier.state || '' = 'pending'
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
# In the order of the index on the state and the number: PostgreSQL expects no rows of a state that there was none of
# when it last looked, and would look for them among all deliveries.
_BACKLOG: Final = text("""
    SELECT state, count(created_at), min(created_at)
    FROM (VALUES ('pending'), ('held'), ('failed')) AS wanted (state)
    LEFT JOIN LATERAL (
        SELECT created_at FROM deliveries WHERE deliveries.state = ANY (ARRAY[wanted.state])
        ORDER BY deliveries.state, number LIMIT :most
    ) AS counted ON true
    GROUP BY state
""")

_STRIDE: Final = 20_000
_DUE_NOW: Final = {"state": DeliveryState.PENDING, "due_at": func.now(), "spent": Delivery.attempts}


class NewDelivery(NamedTuple):
    """A delivery to queue: ``body`` is the text to sign and send, ``version`` the version of the intent in it."""

    id: UUID
    conversation_id: UUID
    type: str
    version: str
    body: str


class Claimed(NamedTuple):
    """A claimed delivery. ``attempt`` counts from 1 over the delivery's life.

    ``spent`` is how many attempts were made before an operator last had it sent again; the schedule ignores them.
    """

    id: UUID
    body: str
    attempt: int
    spent: int


class Numbered(NamedTuple):
    """The place of a delivery in the order of queueing."""

    number: int
    id: UUID


class Backlog(NamedTuple):
    """How many deliveries are pending, held and failed, each counted up to ``MOST_COUNTED``.

    ``oldest`` is when the oldest pending delivery was queued, None without one.
    """

    pending: int
    held: int
    failed: int
    oldest: datetime | None


class DeliveryDAO:
    """The statements on deliveries, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, new: NewDelivery, url_digest: bytes) -> None:
        """Queue a delivery of a conversation that the caller has locked.

        It is stored as `held` if the endpoint whose URL has the SHA-256 ``url_digest`` has answered 410, else as
        `pending`.
        """
        found = await self._session.execute(_BEFORE, {"url_digest": url_digest, "conversation_id": new.conversation_id})
        is_stopped, number = found.one()
        state = DeliveryState.HELD if is_stopped else DeliveryState.PENDING
        await self._session.execute(insert(Delivery).values(**new._asdict(), state=state, number=number))

    async def find_by_version(self, conversation_id: UUID, version: str) -> UUID | None:
        """Return the id of the conversation's latest delivery of this version of its intent, or None."""
        return await self._session.scalar(
            select(Delivery.id)
            .where(Delivery.conversation_id == conversation_id, Delivery.version == version)
            .order_by(Delivery.number.desc())
            .limit(1)
        )

    async def claim(self, limit: int, lease: timedelta) -> Sequence[Claimed]:
        """Claim at most ``limit`` due deliveries for the duration of ``lease``, and return them.

        Deliveries that another transaction has locked are skipped, so no dispatcher waits for another.
        """
        found = await self._session.execute(_CLAIM, {"limit": limit, "lease": lease})
        return [Claimed(*row) for row in found]

    async def settle(
        self, claimed: Claimed, state: DeliveryState, status: int | None, error: str | None, wait: timedelta
    ) -> bool:
        """Store the outcome of an attempt: its state, HTTP status and error, and the ``wait`` until the next attempt.

        Return False, with nothing changed, if another dispatcher has claimed the delivery since, or it was erased. A
        delivery that was held meanwhile stays held, unless the orchestrator accepted it.
        """
        delivered = state is DeliveryState.DELIVERED
        # If an operator has had it sent again during this attempt, its failure is not the last.
        is_renewed = and_(Delivery.spent >= claimed.attempt, literal(state is DeliveryState.FAILED))
        stays = or_(Delivery.state == DeliveryState.HELD, is_renewed)
        settled = await self._session.scalar(
            update(Delivery)
            .where(Delivery.id == claimed.id, Delivery.attempts == claimed.attempt, Delivery.leased_until.is_not(None))
            .values(
                state=state if delivered else case((stays, Delivery.state), else_=state),
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
        """Hold all pending and future deliveries, because the endpoint with ``url_digest`` answered 410 (Gone)."""
        await self._session.execute(
            (new := insert(StoppedOrchestrator).values(url_digest=url_digest, stopped_at=func.now()))
            # A second dispatcher that got a 410 waits for this row, so that the two do not deadlock on the deliveries.
            .on_conflict_do_update(
                index_elements=[StoppedOrchestrator.url_digest], set_={"stopped_at": new.excluded.stopped_at}
            )
        )
        await self._session.execute(
            update(Delivery).where(Delivery.state == DeliveryState.PENDING).values(state=DeliveryState.HELD)
        )

    async def resume(self) -> int:
        """Make all held deliveries due now, and forget the endpoints that have answered 410.

        Return how many deliveries were held.
        """
        await self._session.execute(delete(StoppedOrchestrator))
        return await self._retry_all(DeliveryState.HELD)

    async def get(self, delivery_id: UUID) -> Delivery | None:
        """Return the delivery without its body, or None if there is none."""
        return await self._session.scalar(
            select(Delivery).options(defer(Delivery.body, raiseload=True)).where(Delivery.id == delivery_id)
        )

    async def retry_failed(self) -> int:
        """Make all failed deliveries due now, and return how many there were."""
        return await self._retry_all(DeliveryState.FAILED)

    async def retry(self, delivery_id: UUID) -> Delivery | None:
        """Make a delivery due now, with the whole schedule before it, and return it, or None if there is none."""
        return await self._session.scalar(
            update(Delivery).where(Delivery.id == delivery_id).values(_DUE_NOW).returning(Delivery)
        )

    async def newest(
        self, state: DeliveryState | None, conversation_id: UUID | None, *, before: Numbered | None, limit: int
    ) -> Sequence[Delivery]:
        """Return at most ``limit`` deliveries without their bodies, newest first, queued before the one given."""
        statement = select(Delivery).options(defer(Delivery.body, raiseload=True)).limit(limit)
        if state is not None:  # see `_BACKLOG`
            statement = statement.where(_is(state)).order_by(Delivery.state.desc())
        statement = statement.order_by(Delivery.number.desc(), Delivery.id.desc())
        if conversation_id is not None:
            statement = statement.where(Delivery.conversation_id == conversation_id)
        if before is not None:
            statement = statement.where(tuple_(Delivery.number, Delivery.id) < tuple_(*before))
        return (await self._session.scalars(statement)).all()

    async def backlog(self) -> Backlog:
        """Return the counts of deliveries that wait, and of those that only an operator can send again."""
        found = await self._session.execute(_BACKLOG, {"most": MOST_COUNTED})
        counted = {DeliveryState(state): (count, oldest) for state, count, oldest in found}
        pending, oldest = counted[DeliveryState.PENDING]
        return Backlog(pending, counted[DeliveryState.HELD][0], counted[DeliveryState.FAILED][0], oldest)

    async def _retry_all(self, state: DeliveryState) -> int:
        # Changing very many rows in one statement would exceed `statement_timeout`.
        retried, count = 0, _STRIDE
        while count == _STRIDE:
            # Locked in one order, so that two transactions that do this at the same time do not deadlock.
            found = select(Delivery.id).where(_is(state)).order_by(Delivery.state, Delivery.number)
            locked = found.limit(_STRIDE).with_for_update().cte("locked")
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


def _is(state: DeliveryState) -> ColumnElement[bool]:
    return Delivery.state == any_(array([state.value]))
