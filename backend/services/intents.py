"""Intents of conversations: a client sets one, replaces it only by its version, and the orchestrator gets each.

The transaction that sets an intent also stores its delivery (`outbox`), so the two are committed together or not at
all. A retry with the same intent changes nothing and stores no second delivery.
"""

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

# A function that raises PreconditionFailed unless the version given to it may be replaced; None if there is no intent.
Replaceable = Callable[[str | None], None]


@dataclass(frozen=True, slots=True)
class CurrentIntent:
    """The current intent of a conversation; ``payload`` is JSON text.

    ``delivery_id`` is None without an orchestrator. ``replayed`` tells whether an earlier request set the intent.
    """

    conversation_id: UUID
    intent: str
    payload: str
    version: str
    delivery_id: UUID | None
    replayed: bool = False


async def get(database: Database, principal: Principal, conversation_id: UUID) -> CurrentIntent:
    """Return the intent of a conversation; raises ScopeMissing, ConversationNotFound or IntentNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    async with database.reading() as session:
        found = await IntentDAO(session).get(conversation_id, owner)
        if found is None:
            raise ConversationNotFound(conversation_id)
        version = _version(found)
        if version is None:
            raise IntentNotFound(conversation_id)
        delivery_id = await DeliveryDAO(session).find_by_version(conversation_id, version)
    return _current(conversation_id, found, version, delivery_id)


async def put(  # noqa: PLR0913 -- the parts of one request
    database: Database,
    principal: Principal,
    conversation_id: UUID,
    wanted: IntentPut,
    *,
    replaceable: Replaceable | None,
    outbox: Outbox | None,
) -> CurrentIntent:
    """Set the intent of a conversation, store its delivery in the same transaction, and return the current intent.

    An intent that is set already is not delivered again. ``replaceable`` is called with the current version, and raises
    if that may not be replaced; without it, only a conversation without an intent gets one. Raises ScopeMissing,
    ConversationNotFound, ConversationErased, PreconditionFailed, and IntentConflict.
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
            return _current(conversation_id, found, version, delivery_id, replayed=True)
        if replaceable is not None:
            replaceable(before)
        elif before is not None:
            raise IntentConflict(before)
        stored = await intents.set(conversation_id, wanted.intent, wanted.payload)
        delivery_id = await outbox.add(session, conversation_id, stored, version, before) if outbox else None
    if outbox:
        outbox.wake()
    return _current(conversation_id, stored, version, delivery_id)


def _version(found: StoredIntent) -> str | None:
    return None if found.intent is None else version_of(found.intent, found.payload or "null")


def _current(
    conversation_id: UUID, stored: StoredIntent, version: str, delivery_id: UUID | None, *, replayed: bool = False
) -> CurrentIntent:
    return CurrentIntent(
        conversation_id, stored.intent or "", stored.payload or "null", version, delivery_id, replayed=replayed
    )
