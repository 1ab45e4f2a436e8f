"""What the person wants done: set once, replaced only knowingly, and told to the orchestrator."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import orjson

from backend.dao_service.connection.database import Database
from backend.dao_service.delivery_dao import DeliveryDAO
from backend.dao_service.intent_dao import IntentDAO, StoredIntent
from backend.errors import ConversationNotFound, IntentConflict, IntentNotFound
from backend.principal import Principal
from backend.schemas.intent import IntentPut
from backend.services import conversations
from backend.services.intent_versions import version_of
from backend.services.outbox import Outbox
from backend.vocabulary import Scope

# Raises PreconditionFailed unless this version may be replaced; a conversation without an intent has the version None.
Replaceable = Callable[[str | None], None]


@dataclass(frozen=True, slots=True)
class Standing:
    """The intent that stands; ``payload`` is JSON text. ``replayed`` tells whether it did before."""

    conversation_id: UUID
    intent: str
    payload: str
    version: str
    delivery_id: UUID | None
    replayed: bool = False


async def get(database: Database, principal: Principal, conversation_id: UUID) -> Standing:
    """Return the intent of a conversation; raises ConversationNotFound or IntentNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    async with database.reading() as session:
        found = await IntentDAO(session).get(conversation_id, owner)
        if found is None:
            raise ConversationNotFound(conversation_id)
        version = _version(found)
        if version is None:
            raise IntentNotFound(conversation_id)
        delivery_id = await DeliveryDAO(session).find_by_version(conversation_id, version)
    return _standing(conversation_id, found, version, delivery_id)


async def put(  # noqa: PLR0913 -- whose intent, what it is, what it may replace, and who is told
    database: Database,
    principal: Principal,
    conversation_id: UUID,
    wanted: IntentPut,
    *,
    replaceable: Replaceable | None,
    outbox: Outbox | None,
) -> Standing:
    """Set the intent of a conversation and queue what tells the orchestrator of it, both in one commit or neither.

    What stands already is not told again. ``replaceable`` tells of the version that stands whether it may be replaced;
    without it, only a conversation without an intent gets one. Raises ConversationNotFound, ConversationErased,
    PreconditionFailed, and IntentConflict.
    """
    owner = principal.owner(Scope.INTENTS_WRITE)
    async with database.writing() as session:
        intents, deliveries = IntentDAO(session), DeliveryDAO(session)
        found = await intents.lock(conversation_id, owner)
        if found is None:
            raise await conversations.missing(session, conversation_id, owner)
        before = _version(found)
        version = version_of(wanted.intent, orjson.dumps(wanted.payload))
        if version == before:
            delivery_id = await deliveries.find_by_version(conversation_id, version)
            return _standing(conversation_id, found, version, delivery_id, replayed=True)
        if replaceable is not None:
            replaceable(before)
        elif before is not None:
            raise IntentConflict(before)
        stored = await intents.set(conversation_id, wanted.intent, wanted.payload)
        delivery_id = await outbox.add(session, conversation_id, stored, version, before) if outbox else None
    if outbox:
        outbox.wake()
    return _standing(conversation_id, stored, version, delivery_id)


def _version(found: StoredIntent) -> str | None:
    return None if found.intent is None else version_of(found.intent, found.payload or "null")


def _standing(
    conversation_id: UUID, stored: StoredIntent, version: str, delivery_id: UUID | None, *, replayed: bool = False
) -> Standing:
    return Standing(
        conversation_id, stored.intent or "", stored.payload or "null", version, delivery_id, replayed=replayed
    )
