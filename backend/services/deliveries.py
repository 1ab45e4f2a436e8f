"""What waits for the orchestrator: claimed, settled, looked at, and sent anew by hand."""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from backend.dao_service.connection.database import Database
from backend.dao_service.delivery_dao import Backlog, Claimed, DeliveryDAO
from backend.errors import DeliveryNotFound
from backend.principal import Principal
from backend.schemas.delivery import DeliveriesRetried, DeliveryPlace, DeliveryQuery, DeliveryResponse
from backend.schemas.page import Page
from backend.services.outbox import Outbox
from backend.vocabulary import DeliveryState, Scope


class Outcome(NamedTuple):
    """What became of an attempt. ``error`` is in our own words; ``wait`` is until the next, if there is to be one."""

    state: DeliveryState
    status: int | None = None
    error: str | None = None
    wait: timedelta = timedelta()


async def claim(database: Database, limit: int, lease: timedelta) -> Sequence[Claimed]:
    """Take at most ``limit`` deliveries that are due; whoever does not settle them in time loses them to others."""
    async with database.writing() as session:
        return await DeliveryDAO(session).claim(limit, lease)


async def settle(database: Database, outbox: Outbox, claimed: Claimed, outcome: Outcome) -> bool:
    """Write down what became of a claimed delivery; False if it was no longer the caller's, and nothing was written.

    One that is held because the orchestrator wants no more holds all others, too.
    """
    async with database.writing() as session:
        deliveries = DeliveryDAO(session)
        if outcome.state is DeliveryState.HELD:
            # First the orchestrator, then its deliveries, as everybody locks them.
            await deliveries.stop(outbox.url_digest)
        return await deliveries.settle(claimed, *outcome)


async def backlog(database: Database) -> Backlog:
    """Return what waits for the orchestrator, and what was given up."""
    async with database.reading() as session:
        return await DeliveryDAO(session).backlog()


async def newest(database: Database, principal: Principal, query: DeliveryQuery) -> Page[DeliveryResponse]:
    """Return a page of deliveries, newest first; raises Invalid for a strange cursor."""
    principal.owner(Scope.DELIVERIES_MANAGE)
    place = DeliveryPlace.parse(query.cursor) if query.cursor else None
    async with database.reading() as session:
        rows = await DeliveryDAO(session).newest(
            query.state, query.conversation_id, before=place and place.number, limit=query.limit + 1
        )
        shown = [DeliveryResponse.model_validate(row) for row in rows[: query.limit]]
    if shown:
        place = DeliveryPlace(rows[len(shown) - 1].number)
    return Page(data=shown, next_cursor=place.cursor() if place else None, has_more=len(rows) > query.limit)


async def get(database: Database, principal: Principal, delivery_id: UUID) -> DeliveryResponse:
    """Return a delivery; raises DeliveryNotFound."""
    principal.owner(Scope.DELIVERIES_MANAGE)
    async with database.reading() as session:
        found = await DeliveryDAO(session).get(delivery_id)
        if found is None:
            raise DeliveryNotFound(delivery_id)
        return DeliveryResponse.model_validate(found)


async def retry_failed(database: Database, principal: Principal, outbox: Outbox | None) -> DeliveriesRetried:
    """Have everything that has failed or is held sent anew, and return how many deliveries those were."""
    principal.owner(Scope.DELIVERIES_MANAGE)
    async with database.writing() as session:
        deliveries = DeliveryDAO(session)
        retried = DeliveriesRetried(held=await deliveries.resume(), failed=await deliveries.retry_failed())
    if outbox:
        outbox.wake()
    return retried


async def retry(database: Database, principal: Principal, delivery_id: UUID, outbox: Outbox | None) -> DeliveryResponse:
    """Have a delivery sent anew, and everything that is held as well; raises DeliveryNotFound."""
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
