"""Reading what was said: a page at a time, or the whole."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from backend.dao_service.database import Database
from backend.dao_service.message_dao import MessageDAO, MessageRow, Selection, Version
from backend.errors import ConversationNotFound
from backend.principal import Principal
from backend.schemas.page import Direction, MessagePlace, MessageQuery, Order
from backend.vocabulary import Scope

_STRIDE = 500


@dataclass(frozen=True, slots=True)
class MessagePage:
    """A ``Page`` of messages on its way out; each is JSON text."""

    data: list[str]
    next_cursor: str | None
    has_more: bool
    version: Version


async def page(database: Database, principal: Principal, conversation_id: UUID, query: MessageQuery) -> MessagePage:
    """Return one page of a conversation; raises ConversationNotFound and, for a strange cursor, Invalid."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    after = MessagePlace.parse(query.cursor, query.order, query.direction) if query.cursor else None
    wanted = Selection(
        conversation_id,
        owner,
        limit=query.limit + 1,
        backward=query.direction is Direction.BACKWARD,
        role=query.role,
        after_sequence=query.after_sequence,
        since=query.since,
        until=query.until,
    )
    async with database.looking() as connection:
        messages = MessageDAO(connection)
        rows = await _read(messages, wanted, query.order, after)
        if rows:
            current = rows[0].version
        else:
            # Whoever has this version must have everything of it, so what came meanwhile is looked for behind it.
            current = await _version(messages, conversation_id, owner)
            rows = await _read(messages, wanted, query.order, after)
    shown = rows[: query.limit]
    if shown:
        after = MessagePlace(query.order, query.direction, shown[-1].timestamp, shown[-1].sequence)
    return MessagePage(
        data=[row.document for row in shown],
        next_cursor=after.cursor() if after else None,
        has_more=len(rows) > query.limit,
        version=current,
    )


async def version(database: Database, principal: Principal, conversation_id: UUID) -> Version:
    """Return which version of what was said is on record now; raises ConversationNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    async with database.looking() as connection:
        return await _version(MessageDAO(connection), conversation_id, owner)


async def transcript(database: Database, principal: Principal, conversation_id: UUID) -> AsyncIterator[list[str]]:
    """Yield the whole conversation as it stands now, in spoken order, as JSON texts, some hundred at a time.

    Each part is a transaction of its own, so that a slow reader holds nothing open; what is recorded after the first
    is left out of all. Raises ConversationNotFound before the first part, or after the last if it was erased meanwhile.
    """
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    last = (await version(database, principal, conversation_id)).last_sequence
    wanted = Selection(conversation_id, owner, limit=_STRIDE, up_to_sequence=last)
    after: MessagePlace | None = None
    while True:
        async with database.looking() as connection:
            rows = await _read(MessageDAO(connection), wanted, Order.SPOKEN, after)
        yield [row.document for row in rows]
        if len(rows) < _STRIDE:
            break
        after = MessagePlace(Order.SPOKEN, Direction.FORWARD, rows[-1].timestamp, rows[-1].sequence)
    if after:
        await version(database, principal, conversation_id)  # erased meanwhile, it must not look like a shorter one


async def _version(messages: MessageDAO, conversation_id: UUID, owner: str | None) -> Version:
    found = await messages.version(conversation_id, owner)
    if found is None:
        raise ConversationNotFound(conversation_id)
    return found


async def _read(
    messages: MessageDAO, wanted: Selection, order: Order, after: MessagePlace | None
) -> Sequence[MessageRow]:
    if order is Order.RECORDED:
        return await messages.recorded(wanted, after and after.sequence)
    return await messages.spoken(wanted, after and (after.timestamp, after.sequence))
