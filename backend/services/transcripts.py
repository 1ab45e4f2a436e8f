"""Reading the messages of a conversation: by pages with a cursor, or as a whole transcript.

Each page and each part of a transcript is a short transaction of its own, so that a client that reads slowly holds no
database connection.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
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
    found = await _read(database, wanted, query.order, after)
    if found.rows:
        last = found.rows[-1]
        after = MessagePlace(query.order, query.direction, last.timestamp, last.sequence)
    documents = [row.document for row in found.rows]
    return MessagePage(
        documents,
        next_cursor=after.cursor() if after else None,
        has_more=found.more,
        version=found.version,
        exact=wanted.bounds.in_one(documents),
    )


async def version(database: Database, principal: Principal, conversation_id: UUID) -> Version:
    """Return the current version of a conversation's messages; raises ScopeMissing or ConversationNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    return await _version(database, conversation_id, owner)


async def transcript(database: Database, principal: Principal, conversation_id: UUID) -> TranscriptParts:
    """Return the whole conversation in spoken order, in parts of up to 500 messages.

    Messages that are recorded after the first part was read are left out. The first part is read here. Raises
    ScopeMissing or ConversationNotFound. The generator raises ConversationNotFound after its last part if the
    conversation was erased meanwhile, because a part of it must not look like a whole one.
    """
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    wanted = Selection(conversation_id, owner, _STRIDE)
    found = await _read(database, wanted, Order.SPOKEN, None)
    walk = _Walk(database, replace(wanted, up_to_sequence=found.version.last_sequence))
    first = walk.past(found)
    exact = not walk.more and wanted.bounds.in_one(first)
    return TranscriptParts(_parts(walk, [first]), found.version, exact)


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
        await _version(walk.database, walk.wanted.conversation_id, walk.wanted.owner)


@dataclass(slots=True)
class _Walk:
    """The position up to which a conversation was read in spoken order, and whether there is more."""

    database: Database
    wanted: Selection
    after: MessagePlace | None = None
    more: bool = True

    async def stride(self) -> list[bytes]:
        """Return the next part of the conversation."""
        return self.past(await _read(self.database, self.wanted, Order.SPOKEN, self.after))

    def past(self, found: MessageRows) -> list[bytes]:
        """Move past the rows that were read, and return them."""
        self.more = found.more
        if found.rows:
            last = found.rows[-1]
            self.after = MessagePlace(Order.SPOKEN, Direction.FORWARD, last.timestamp, last.sequence)
        return [row.document for row in found.rows]


async def _version(database: Database, conversation_id: UUID, owner: str | None) -> Version:
    async with database.driver_connection() as connection:
        found = await MessageDAO(connection).version(conversation_id, owner)
    if found is None:
        raise ConversationNotFound(conversation_id)
    return found


async def _read(database: Database, wanted: Selection, order: Order, after: MessagePlace | None) -> MessageRows:
    async with database.driver_connection() as connection:
        messages = MessageDAO(connection)
        found = (
            await messages.recorded(wanted, after and after.sequence)
            if order is Order.RECORDED
            else await messages.spoken(wanted, after and (after.timestamp, after.sequence))
        )
    if found is None:
        raise ConversationNotFound(wanted.conversation_id)
    return found
