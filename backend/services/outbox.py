"""The transactional outbox: a transaction that sets an intent also stores its delivery to the orchestrator.

So the delivery exists exactly if the intent was committed. The dispatcher sends it afterwards, outside a transaction.
"""

import asyncio
import hashlib
from datetime import UTC
from typing import Final
from uuid import UUID

import orjson

from backend.dao_service.connection.database import Session
from backend.dao_service.delivery_dao import DeliveryDAO, NewDelivery
from backend.dao_service.intent_dao import StoredIntent
from backend.schemas.single_line_json import one_line
from backend.vocabulary import INTENT_EXTRACTED
from verbatim_record.ids import new_id


class Outbox:
    """The deliveries to the orchestrator at ``url``. ``woken`` is set when there may be a new one to send."""

    def __init__(self, url: str) -> None:
        self.url_digest: Final = hashlib.sha256(url.encode()).digest()
        self.woken: Final = asyncio.Event()

    async def add(
        self, session: Session, conversation_id: UUID, stored: StoredIntent, version: str, replaces: str | None
    ) -> UUID:
        """Store the delivery of an intent in the transaction that set it, and return the delivery's id.

        The caller calls `wake` once it has committed.
        """
        delivery = NewDelivery(
            new_id(), conversation_id, INTENT_EXTRACTED, version, body_of(conversation_id, stored, version, replaces)
        )
        await DeliveryDAO(session).add(delivery, self.url_digest)
        return delivery.id

    def wake(self) -> None:
        """Make the dispatcher of this process look for deliveries at once; those of other processes poll."""
        self.woken.set()


def body_of(conversation_id: UUID, stored: StoredIntent, version: str, replaces: str | None) -> str:
    """Return the body of the webhook that tells of an intent, on one line."""
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#payload-structure
    event = {
        "type": INTENT_EXTRACTED,
        "timestamp": stored.updated_at.astimezone(UTC),
        "data": {
            "conversation_id": str(conversation_id),
            "user_id": stored.owner,
            "voice_session_id": stored.voice_session_id,
            "intent": stored.intent,
            "payload": orjson.Fragment(stored.payload or "null"),
            "version": version,
            "replaces": replaces,
        },
    }
    return one_line(orjson.dumps(event, option=orjson.OPT_UTC_Z)).decode()
