"""Reading the messages of a conversation: by pages with a cursor, or as a whole transcript.

Each page and each part of a transcript is a short transaction of its own, so that a client that reads slowly holds no
database connection.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from backend.dao_service.connection.database import Database
from backend.dao_service.message_dao import MessageDAO, MessageRows, Selection, Version
from backend.dao_service.portions import Bounds
from backend.dao_service.voice_session_dao import VoiceSessionDAO
from backend.errors import ConversationNotFound
from backend.principal import Principal
from backend.schemas.message import Direction, MessagePlace, MessageQuery, Order
from backend.vocabulary import Scope

_PAGE_BYTES: Final = 2**20  # of a page, which is in memory while its client reads it; enough for 500 ordinary messages
_STRIDE: Final = Bounds(rows=500, size=2**18)  # of a part of a transcript, in memory while its client reads it
_ATTEMPTS: Final = 3  # to read a transcript of one part while the conversation's version does not change


@dataclass(frozen=True, slots=True)
class MessagePage:
    """A page of messages, each as JSON, for the route to write.

    ``exact`` tells whether all of it has the state ``version``. Long messages are read after the others, and their
    metadata may be newer.
    """

    data: list[bytes]
    next_cursor: str | None
    has_more: bool
    version: Version
    exact: bool


@dataclass(frozen=True, slots=True)
class TranscriptParts:
    """A whole conversation in parts; each message is JSON.

    ``exact`` tells whether all of it has the state ``version``. If not, it has the messages of that version, but their
    metadata (latencies, interruptions) may be newer in the later parts.
    """

    parts: AsyncGenerator[list[bytes], None]
    version: Version
    exact: bool


async def page(database: Database, principal: Principal, conversation_id: UUID, query: MessageQuery) -> MessagePage:
    """Return one page of a conversation.

    Raises ScopeMissing, ConversationNotFound, and Invalid for a cursor that this service has not issued.
    """
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    after = MessagePlace.parse(query.cursor, query.order, query.direction) if query.cursor else None
    wanted = Selection(
        conversation_id,
        owner,
        Bounds(query.limit, _PAGE_BYTES),
        backward=query.direction is Direction.BACKWARD,
        role=query.role,
        after_sequence=query.after_sequence,
        since=query.since,
        until=query.until,
    )
    async with database.driver_connection() as connection:
        messages = MessageDAO(connection)
        rows, more = await _read(messages, wanted, query.order, after)
        if not rows:
            # An empty page has no version of its own. Its version is read first and the page again after it, so that
            # the page has all messages of that version.
            current = await _version(messages, conversation_id, owner)
            rows, more = await _read(messages, wanted, query.order, after)
    if rows:
        current = rows[0].version
        after = MessagePlace(query.order, query.direction, rows[-1].timestamp, rows[-1].sequence)
    return MessagePage(
        data=[row.document for row in rows],
        next_cursor=after.cursor() if after else None,
        has_more=more,
        version=current,
        exact=all(len(row.document) <= wanted.bounds.share for row in rows),
    )


async def version(database: Database, principal: Principal, conversation_id: UUID) -> Version:
    """Return the current version of a conversation's messages; raises ScopeMissing or ConversationNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    async with database.driver_connection() as connection:
        return await _version(MessageDAO(connection), conversation_id, owner)


async def transcript(database: Database, principal: Principal, conversation_id: UUID) -> TranscriptParts:
    """Return the whole conversation in spoken order, in parts of up to 500 messages.

    Messages that are recorded after the first part was read are left out. The first part is read here. Raises
    ScopeMissing or ConversationNotFound. The generator raises ConversationNotFound after its last part if the
    conversation was erased meanwhile, because a part of it must not look like a whole one.
    """
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    current = await version(database, principal, conversation_id)
    for _ in range(_ATTEMPTS):
        begun = current
        walk = _Walk(database, Selection(conversation_id, owner, _STRIDE, up_to_sequence=begun.last_sequence))
        first = [await walk.stride()]
        if walk.more:
            break
        current = await version(database, principal, conversation_id)
        if current == begun:
            break
    return TranscriptParts(_parts(walk, first), begun, exact=not walk.more and current == begun)


async def call_began(database: Database, conversation_id: UUID) -> datetime | None:
    """Return when the first voice session of a conversation began, None without one.

    The caller may read the conversation: it has called `transcript`.
    """
    async with database.reading() as session:
        return await VoiceSessionDAO(session).first_began(conversation_id)


async def _parts(walk: "_Walk", first: list[list[bytes]]) -> AsyncGenerator[list[bytes], None]:
    # No variable refers to a part while a slow client reads it, so that its memory is freed.
    yield first.pop()
    while walk.more:
        yield await walk.stride()
    if walk.after:
        async with walk.database.driver_connection() as connection:
            await _version(MessageDAO(connection), walk.wanted.conversation_id, walk.wanted.owner)


@dataclass(slots=True)
class _Walk:
    """The position up to which a conversation was read in spoken order, and whether there is more."""

    database: Database
    wanted: Selection
    after: MessagePlace | None = None
    more: bool = True

    async def stride(self) -> list[bytes]:
        """Return the next part of the conversation."""
        async with self.database.driver_connection() as connection:
            rows, self.more = await _read(MessageDAO(connection), self.wanted, Order.SPOKEN, self.after)
        if rows:
            self.after = MessagePlace(Order.SPOKEN, Direction.FORWARD, rows[-1].timestamp, rows[-1].sequence)
        return [row.document for row in rows]


async def _version(messages: MessageDAO, conversation_id: UUID, owner: str | None) -> Version:
    found = await messages.version(conversation_id, owner)
    if found is None:
        raise ConversationNotFound(conversation_id)
    return found


async def _read(messages: MessageDAO, wanted: Selection, order: Order, after: MessagePlace | None) -> MessageRows:
    if order is Order.RECORDED:
        return await messages.recorded(wanted, after and after.sequence)
    return await messages.spoken(wanted, after and (after.timestamp, after.sequence))
