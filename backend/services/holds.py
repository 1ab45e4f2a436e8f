"""Holds: a conversation on hold is neither erased nor redacted, whichever caller asks for it, until it is released.

A hold is set while the conversation's row is locked, and an erasure looks for one after it has locked that row. So of
a hold and an erasure at the same time one comes first: the conversation is held, or there is none to hold.
"""

from uuid import UUID

from backend.dao_service.connection.database import Database
from backend.dao_service.conversation_dao import ConversationDAO
from backend.dao_service.hold_dao import HoldDAO
from backend.errors import HoldNotFound
from backend.principal import Principal
from backend.schemas.hold import HoldPage, HoldPlace, HoldPut, HoldQuery, HoldResponse
from backend.services import audit, conversations
from backend.vocabulary import AuditAction, Scope


async def put(database: Database, principal: Principal, conversation_id: UUID, wanted: HoldPut) -> HoldResponse:
    """Hold a conversation, and return the hold; the same reason again changes nothing, another begins a new hold.

    Raises ScopeMissing, ConversationNotFound and ConversationErased.
    """
    owner, actor = principal.owner(Scope.GOVERNANCE_MANAGE), principal.actor
    async with database.writing() as session:
        if await ConversationDAO(session).get_for_update(conversation_id, owner) is None:
            raise await conversations.missing(session, conversation_id, owner)
        holds = HoldDAO(session)
        held = await holds.active(conversation_id)
        if held is None or held.reason != wanted.reason:
            await holds.release(conversation_id, actor)
            held = await holds.add(conversation_id, wanted.reason, actor)
            await audit.note(session, principal, AuditAction.CONVERSATION_HELD, conversation_id)
        return HoldResponse.model_validate(held)


async def release(database: Database, principal: Principal, conversation_id: UUID) -> None:
    """Release a conversation; raises ScopeMissing, ConversationNotFound, ConversationErased and HoldNotFound."""
    owner = principal.owner(Scope.GOVERNANCE_MANAGE)
    async with database.writing() as session:
        if await ConversationDAO(session).get_for_update(conversation_id, owner) is None:
            raise await conversations.missing(session, conversation_id, owner)
        if not await HoldDAO(session).release(conversation_id, principal.actor):
            raise HoldNotFound(conversation_id)
        await audit.note(session, principal, AuditAction.CONVERSATION_RELEASED, conversation_id)


async def newest(database: Database, principal: Principal, query: HoldQuery) -> HoldPage:
    """Return a page of holds, newest first; raises ScopeMissing, and Invalid for a cursor not issued here."""
    principal.owner(Scope.GOVERNANCE_MANAGE)
    place = HoldPlace.parse(query.cursor) if query.cursor else None
    async with database.reading() as session:
        rows = await HoldDAO(session).newest(
            query.conversation_id, active=query.active, before=place, limit=query.limit + 1
        )
        shown = [HoldResponse.model_validate(row) for row in rows[: query.limit]]
    if shown:
        last = rows[len(shown) - 1]
        place = HoldPlace(last.number, last.id)
    return HoldPage(data=shown, next_cursor=place.cursor() if place else None, has_more=len(rows) > query.limit)
