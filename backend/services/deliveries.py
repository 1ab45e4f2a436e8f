"""Deliveries to the orchestrator: the dispatcher claims and settles them under a lease, operators list and retry them.

A dispatcher claims a delivery for the time of a lease. If it does not settle the delivery within the lease, for example
because it crashed, another dispatcher may claim it. So the orchestrator gets each delivery at least once.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from backend.dao_service.connection.database import Database
from backend.dao_service.delivery_dao import Backlog, Claimed, DeliveryDAO, Numbered
from backend.errors import DeliveryNotFound
from backend.principal import Principal
from backend.schemas.delivery import DeliveriesRetried, DeliveryPage, DeliveryPlace, DeliveryQuery, DeliveryResponse
from backend.services.outbox import Outbox
from backend.vocabulary import DeliveryState, Scope


class Outcome(NamedTuple):
    """The result of an attempt to deliver: the new state, the HTTP status, and the reason for a failure.

    ``error`` quotes nothing that the orchestrator sent. ``wait`` is the time until the next attempt, if the state is
    `pending`.
    """

    state: DeliveryState
    status: int | None = None
    error: str | None = None
    wait: timedelta = timedelta()


async def claim(database: Database, limit: int, lease: timedelta) -> Sequence[Claimed]:
    """Claim at most ``limit`` deliveries that are due, for the time of ``lease``, and return them.

    After that time another dispatcher may claim those that are not settled.
    """
    async with database.writing() as session:
        return await DeliveryDAO(session).claim(limit, lease)


async def settle(database: Database, outbox: Outbox, claimed: Claimed, outcome: Outcome) -> bool:
    """Store the outcome of a claimed delivery, and return True.

    Returns False, with nothing stored, if the lease has run out and another dispatcher has claimed the delivery. An
    outcome of `held`, because the orchestrator has answered 410, holds all its other deliveries, too.
    """
    async with database.writing() as session:
        deliveries = DeliveryDAO(session)
        if outcome.state is DeliveryState.HELD:
            # Every transaction locks the orchestrator first and its deliveries after it, so that none deadlocks.
            await deliveries.stop(outbox.url_digest)
        return await deliveries.settle(claimed, *outcome)


async def backlog(database: Database) -> Backlog:
    """Return how many deliveries wait, are held, or have failed, and since when the oldest waits."""
    async with database.reading() as session:
        return await DeliveryDAO(session).backlog()


async def newest(database: Database, principal: Principal, query: DeliveryQuery) -> DeliveryPage:
    """Return a page of deliveries, newest first.

    Raises ScopeMissing, and Invalid for a cursor that this service has not issued.
    """
    principal.owner(Scope.DELIVERIES_MANAGE)
    place = DeliveryPlace.parse(query.cursor) if query.cursor else None
    async with database.reading() as session:
        rows = await DeliveryDAO(session).newest(
            query.state, query.conversation_id, before=place and Numbered(*place), limit=query.limit + 1
        )
        shown = [DeliveryResponse.model_validate(row) for row in rows[: query.limit]]
    if shown:
        last = rows[len(shown) - 1]
        place = DeliveryPlace(last.number, last.id)
    return DeliveryPage(data=shown, next_cursor=place.cursor() if place else None, has_more=len(rows) > query.limit)


async def get(database: Database, principal: Principal, delivery_id: UUID) -> DeliveryResponse:
    """Return a delivery; raises ScopeMissing or DeliveryNotFound."""
    principal.owner(Scope.DELIVERIES_MANAGE)
    async with database.reading() as session:
        found = await DeliveryDAO(session).get(delivery_id)
        if found is None:
            raise DeliveryNotFound(delivery_id)
        return DeliveryResponse.model_validate(found)


async def retry_failed(database: Database, principal: Principal, outbox: Outbox | None) -> DeliveriesRetried:
    """Make all failed and held deliveries due again, and return how many those were; raises ScopeMissing."""
    principal.owner(Scope.DELIVERIES_MANAGE)
    async with database.writing() as session:
        deliveries = DeliveryDAO(session)
        retried = DeliveriesRetried(held=await deliveries.resume(), failed=await deliveries.retry_failed())
    if outbox:
        outbox.wake()
    return retried


async def retry(database: Database, principal: Principal, delivery_id: UUID, outbox: Outbox | None) -> DeliveryResponse:
    """Make a delivery and all held ones due again, and return it; raises ScopeMissing or DeliveryNotFound."""
    principal.owner(Scope.DELIVERIES_MANAGE)
    async with database.writing() as session:
        deliveries = DeliveryDAO(session)
        await deliveries.resume()
        found = await deliveries.retry(delivery_id)
        if found is None:
            raise DeliveryNotFound(delivery_id)
        answer = DeliveryResponse.model_validate(found)
    if outbox:
        outbox.wake()
    return answer
