"""Announcements: the orchestrator is told that a conversation has ended or was erased, or a message redacted.

The transaction of the fact also stores the delivery, so the two are committed together or not at all, and in the order
of the conversation's other deliveries, because its row is locked. The dispatcher finds them at its next look. Bodies
hold ids, times and counts: no word, no reason and no subject, because they outlive an erasure.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import orjson

from backend.dao_service.connection.database import Database, Session
from backend.dao_service.delivery_dao import DeliveryDAO, NewDelivery
from backend.schemas.single_line_json import one_line
from backend.vocabulary import Announcement
from verbatim_record.ids import new_id


async def announce(  # noqa: PLR0913 -- the parts of one delivery
    database: Database,
    session: Session,
    kind: Announcement,
    conversation_id: UUID,
    *,
    at: datetime,
    data: Mapping[str, object],
) -> None:
    """Store the delivery of a fact of the time ``at`` in the transaction ``session``, if the operator wants it told."""
    wanted = database.subscription
    if wanted is None or kind not in wanted.announcements:
        return
    told = {"type": kind, "timestamp": at.astimezone(UTC), "data": {"conversation_id": conversation_id, **data}}
    body = one_line(orjson.dumps(told, default=str, option=orjson.OPT_UTC_Z)).decode()
    identity = new_id()
    delivery = NewDelivery(identity, conversation_id, kind, str(identity), body)
    await DeliveryDAO(session).add(delivery, wanted.url_digest)
