"""The use cases of demo data that nothing else has: moving conversations into the past, and forgetting them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from backend.dao_service.connection.database import Database, Session
from backend.dao_service.conversation_dao import ConversationDAO
from backend.dao_service.delivery_dao import DeliveryDAO, NewDelivery
from backend.dao_service.demo_data_dao import DemoDataDAO, PastDelivery
from backend.dao_service.intent_dao import StoredIntent
from backend.principal import LOCAL
from backend.services import conversations
from backend.services.outbox import Outbox, body_of
from backend.vocabulary import INTENT_EXTRACTED

# No orchestrator is at this address (RFC 2606), so none has ever asked that deliveries be held.
_NOWHERE = "https://orchestrator.invalid/"


class Holdings(NamedTuple):
    """The conversations of demo data, by id, and whether there are others."""

    demo: Sequence[UUID]
    has_others: bool


@dataclass(frozen=True, slots=True)
class PastTimes:
    """When a conversation took place. ``sessions`` has the beginning and the last request of each, by id."""

    opened_at: datetime
    over_at: datetime
    recorded_at: Mapping[UUID, datetime]
    sessions: Mapping[str, tuple[datetime, datetime]]


class PastOutbox(Outbox):
    """An outbox of one delivery, of which it is known what became of it. So no dispatcher ever finds it due before."""

    def __init__(self, delivery: PastDelivery) -> None:
        super().__init__(_NOWHERE)
        self._delivery = delivery

    async def add(
        self, session: Session, conversation_id: UUID, stored: StoredIntent, version: str, replaces: str | None
    ) -> UUID:
        """Store the delivery and what became of it in the transaction that set the intent, and return its id."""
        stored = stored._replace(updated_at=self._delivery.created_at)
        body = body_of(conversation_id, stored, version, replaces)
        new = NewDelivery(self._delivery.id, conversation_id, INTENT_EXTRACTED, version, body)
        await DeliveryDAO(session).add(new, self.url_digest)
        await DemoDataDAO(session).settle(self._delivery)
        return self._delivery.id


async def holdings(database: Database) -> Holdings:
    """Return what the database holds."""
    async with database.reading() as session:
        demo = DemoDataDAO(session)
        return Holdings(await demo.ids(), await demo.has_others())


async def move(database: Database, conversation_id: UUID, times: PastTimes) -> None:
    """Move a conversation that has just been recorded to the time at which it took place."""
    async with database.writing() as session:
        demo, conversation = DemoDataDAO(session), ConversationDAO(session)
        await conversation.lock(conversation_id)
        await demo.move_messages(times.recorded_at)
        for session_id, (started_at, seen_at) in times.sessions.items():
            await demo.move_session(session_id, started_at, seen_at)
        if times.sessions:
            await conversation.end_session(conversation_id)
        await demo.move_conversation(conversation_id, times.opened_at, times.over_at)


async def remove(database: Database, conversation_id: UUID) -> int:
    """Erase a conversation of demo data; only the audit tells of it. Return how many messages it had."""
    count = await conversations.erase(database, LOCAL, conversation_id)
    async with database.writing() as session:
        await DemoDataDAO(session).forget_erasures([conversation_id])
    return count
