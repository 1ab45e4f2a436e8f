"""SQL on conversations.

Every statement filters by ``owner``, the subject of the caller's token; None admits every owner. So another owner's
conversation is not found, locked or changed, exactly like a conversation that does not exist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    case,
    cast,
    delete,
    exists,
    func,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.dao_service.conditions import given, numbered
from backend.dao_service.connection.sqlstate import constraint, is_invalid_value, missing_column
from backend.dao_service.models import Conversation, Delivery, Message, VoiceSession, VoiceSessionId
from backend.dao_service.models.mixins import EARLIEST_READABLE
from backend.dao_service.ownership import OWNER_SQL, owner_text, reached, reaches_sql
from backend.dao_service.portions import Bounds
from backend.dao_service.summary_dao import CURRENT, Basis, Current
from backend.errors import HostKeepsConversation, HostOwnsConversations
from backend.vocabulary import INTENT_EXTRACTED, LARGEST_INT

_STRIDE: Final = 20_000
# The columns of the conversation ``c`` as the mapping reads them, for the driver: through a session of SQLAlchemy one
# row takes 0.5 ms.
_ALL: Final = select(aliased(Conversation, name="c")).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
_COLUMNS: Final = str(_ALL).partition("\nFROM ")[0]
# By whether they have what summaries need: the columns, and what is joined to `c` for them.
_READ: Final = {
    False: (_COLUMNS, ""),
    True: (f"{_COLUMNS}, present.*", f"CROSS JOIN LATERAL ({CURRENT}) AS present"),
}
_OWNER: Final = OWNER_SQL.format("c")
_BY_ID: Final = {
    current: f"{columns} FROM conversations AS c {joined} WHERE c.id = $1 AND {reaches_sql('$2::text', _OWNER)}"
    for current, (columns, joined) in _READ.items()
}
# PostgreSQL knows the size without reading the intent unless it is compressed.
_INTENT_SIZE: Final = """
    CASE WHEN pg_column_compression(c.intent_payload) IS NULL THEN coalesce(pg_column_size(c.intent_payload), 0)
        ELSE octet_length(c.intent_payload::text) END
"""
_NEWEST: Final = f"""
    <columns>, summed.count FROM (
        SELECT id, size, count(*) OVER () AS count, sum(size) OVER so_far AS size_so_far
        FROM (
            SELECT c.id, c.created_at, {_INTENT_SIZE} AS size FROM conversations AS c WHERE true<conditions>
            ORDER BY c.created_at DESC, c.id DESC LIMIT $1 + 1
        ) AS found WINDOW so_far AS (ORDER BY created_at DESC, id DESC ROWS UNBOUNDED PRECEDING)
    ) AS summed JOIN conversations AS c ON c.id = summed.id <joined>
    WHERE size_so_far <= greatest($2::bigint, size) ORDER BY c.created_at DESC, c.id DESC LIMIT $1
"""  # noqa: S608 -- made of constants


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """The conditions on a list of conversations, joined by AND; None is no condition.

    ``since`` is inclusive and ``until`` exclusive; both compare `created_at`.
    """

    context_type: str | None = None
    intent: str | None = None
    ended: bool | None = None
    linked_goal_id: UUID | None = None
    linked_task_id: UUID | None = None
    voice_session_id: str | None = None
    user_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Erased(NamedTuple):
    """The message count and the owner of a conversation that is erased."""

    message_count: int
    owner: str | None


class SessionsEnded(NamedTuple):
    """The end of a conversation, None while a voice session is open, its duration and its number of messages."""

    ended_at: datetime | None
    duration_seconds: int | None
    message_count: int


class Listed(NamedTuple):
    """A conversation's columns by their names in `Conversation` and, if asked for, what its summary needs."""

    columns: Mapping[str, Any]
    current: Current | None

    @classmethod
    def of(cls, row: asyncpg.Record, *, current: bool) -> Self:
        """Return a row that has the columns of `CURRENT` if ``current``."""
        if not current:
            return cls(dict(row), None)
        basis = Basis(row["last_sequence"], row["sessions"])
        return cls(dict(row), Current(basis, row["state"], row["first_words"]))


class ConversationReader:
    """The statements that read conversations, on the driver's ``connection``.

    With ``current`` they return also what summaries need.
    """

    def __init__(self, connection: asyncpg.Connection, *, current: bool) -> None:
        self._connection = connection
        self._current = current

    async def get(self, conversation_id: UUID, owner: str | None) -> Listed | None:
        """Return the conversation, or None if there is none."""
        row = await self._connection.fetchrow(_BY_ID[self._current], conversation_id, owner)
        return None if row is None else Listed.of(row, current=self._current)

    async def newest(
        self,
        wanted: ConversationFilter,
        owner: str | None,
        *,
        before: tuple[datetime, UUID] | None,
        bounds: Bounds,
    ) -> tuple[list[Listed], bool]:
        """Return conversations, newest first, from after ``before`` (exclusive), and whether there are more.

        ``bounds`` are those of the intents; the first conversation is always returned.
        """
        conditions, values = given(
            (
                (f"{_OWNER} = {{}}", owner),
                (f"{_OWNER} = {{}}", wanted.user_id),
                ("c.context_type = {}", wanted.context_type),
                ("c.extracted_intent = {}", wanted.intent),
                ("c.linked_goal_id = {}", wanted.linked_goal_id),
                ("c.linked_task_id = {}", wanted.linked_task_id),
                ("c.voice_session_id = {}", wanted.voice_session_id),
                ("c.created_at >= {}", wanted.since),
                ("c.created_at < {}", wanted.until),
            )
        )
        if wanted.ended is not None:
            # PostgreSQL uses the partial indexes for IS NULL and IS NOT NULL, not for a comparison of booleans.
            conditions += (f"c.ended_at IS {'NOT ' if wanted.ended else ''}NULL",)
        if before is not None:
            conditions += ("(c.created_at, c.id) < ({}, {})",)
        query = _newest_query(conditions, current=self._current)
        found = await self._connection.fetch(query, bounds.rows, bounds.size, *values, *(before or ()))
        rows = [Listed.of(row, current=self._current) for row in found]
        return rows, bool(found) and found[0]["count"] > len(found)


@cache
def _newest_query(conditions: tuple[str, ...], *, current: bool) -> str:
    columns, joined = _READ[current]
    where = numbered(conditions, first=3)
    return _NEWEST.replace("<columns>", columns).replace("<joined>", joined).replace("<conditions>", where)


class ConversationDAO:
    """The statements on conversations, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, conversation_id: UUID, owner: str | None) -> Conversation | None:
        """Return the conversation, or None if there is none."""
        return await self._session.scalar(select(Conversation).where(*_by_id(conversation_id, owner)))

    async def last_sequence(self, conversation_id: UUID, owner: str | None) -> int | None:
        """Return the sequence of the last message (0 before the first), or None if there is no such conversation."""
        return await self._session.scalar(select(Conversation.last_sequence).where(*_by_id(conversation_id, owner)))

    async def add(self, conversation_id: UUID, context_type: str, owner: str | None) -> Conversation | None:
        """Insert a conversation and return it, or None if the id is taken; with ``owner`` None it has no owner.

        Raises HostOwnsConversations where the host's table has columns or constraints that only the host can satisfy.
        """
        values = {"id": conversation_id, "context_type": context_type}
        if owner is not None:
            values["user_id"] = _in_host_type(owner)
        statement = (
            insert(Conversation)
            .values(values)
            .on_conflict_do_nothing(index_elements=[Conversation.id])
            .returning(Conversation)
        )
        try:
            return await self._session.scalar(statement)
        except IntegrityError as error:
            raise HostOwnsConversations(missing_column(error) or constraint(error)) from error
        except DBAPIError as error:
            if is_invalid_value(error):
                raise HostOwnsConversations("user_id") from error
            raise

    async def link(
        self, conversation_id: UUID, owner: str | None, links: Mapping[str, UUID | None]
    ) -> Conversation | None:
        """Set the given ones of ``linked_goal_id`` and ``linked_task_id``; None removes a link.

        Return the conversation, or None if there is none.
        """
        return await self._session.scalar(
            update(Conversation)
            .where(*_by_id(conversation_id, owner))
            .values({**links, "updated_at": func.now()})
            .returning(Conversation)
        )

    async def lock(self, conversation_id: UUID) -> int:
        """Lock the conversation's row until the transaction ends (FOR NO KEY UPDATE).

        Return the sequence of its last message, 0 if there is no such conversation.
        """
        found = await self._session.scalar(
            select(Conversation.last_sequence).where(Conversation.id == conversation_id).with_for_update(key_share=True)
        )
        return found or 0

    async def get_for_update(self, conversation_id: UUID, owner: str | None) -> Conversation | None:
        """Lock the conversation's row until the transaction ends, and return the conversation, or None."""
        return await self._session.scalar(
            select(Conversation)
            .where(*_by_id(conversation_id, owner))
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )

    async def has_sessions(self, conversation_id: UUID) -> bool:
        """Return whether the conversation has a voice session; the caller has locked it, so that none begins."""
        found = await self._session.scalar(select(exists().where(VoiceSession.conversation_id == conversation_id)))
        return bool(found)

    async def end(self, conversation_id: UUID, ended_at: datetime | None) -> Conversation:
        """End a conversation that the caller has locked, at ``ended_at`` or now by PostgreSQL's clock, and return it.

        Its duration in seconds counts from its creation or, if that was earlier, from the time of its first message.
        """
        moment = func.statement_timestamp() if ended_at is None else ended_at
        said = select(func.min(Message.timestamp)).where(Message.conversation_id == conversation_id).scalar_subquery()
        # A host may have stored '-infinity' or 'infinity', which PostgreSQL 15 cannot subtract.
        began = func.greatest(func.least(Conversation.created_at, said, moment), EARLIEST_READABLE)
        length = func.extract("epoch", moment - began)
        ended = await self._session.scalar(
            update(Conversation)
            .where(Conversation.id == conversation_id)
            .values(
                ended_at=moment,
                duration_seconds=func.least(func.round(length), LARGEST_INT),
                updated_at=func.now(),
            )
            .returning(Conversation)
            .execution_options(populate_existing=True)
        )
        assert ended is not None  # noqa: S101 -- the caller has locked the row
        return ended

    async def begin_session(self, conversation_id: UUID, owner: str | None, session_id: str) -> bool:
        """Make a voice session the latest of the conversation and remove the conversation's end.

        Return whether there is such a conversation.
        """
        found = await self._session.scalar(
            update(Conversation)
            .where(*_by_id(conversation_id, owner))
            .values(voice_session_id=session_id, ended_at=None, updated_at=func.now())
            .returning(Conversation.id)
        )
        return found is not None

    async def end_session(self, conversation_id: UUID) -> SessionsEnded:
        """Derive the conversation's end and duration from its voice sessions, and return them.

        While one is open there is no end.
        """
        of_it = VoiceSession.conversation_id == conversation_id
        under_way = exists().where(of_it, VoiceSession.ended_at.is_(None))
        last, length = (
            select(function(column)).where(of_it).scalar_subquery()
            for function, column in (
                (func.max, VoiceSession.ended_at),
                (func.sum, VoiceSession.duration_seconds),
            )
        )
        found = await self._session.execute(
            update(Conversation)
            .where(Conversation.id == conversation_id)
            .values(
                ended_at=case((~under_way, last)),
                duration_seconds=case((length > LARGEST_INT, LARGEST_INT), else_=length),  # LEAST would ignore a NULL
                updated_at=func.now(),
            )
            .returning(Conversation.ended_at, Conversation.duration_seconds, Conversation.last_sequence)
        )
        return SessionsEnded(*found.one())

    async def lock_to_erase(self, conversation_id: UUID, owner: str | None) -> Erased | None:
        """Lock the conversation's row (FOR UPDATE), and return its count and owner, or None if there is none."""
        found = (
            await self._session.execute(
                select(Conversation.last_sequence, owner_text).where(*_by_id(conversation_id, owner)).with_for_update()
            )
        ).one_or_none()
        return None if found is None else Erased(*found)

    async def erase(self, conversation_id: UUID, message_count: int) -> None:
        """Delete a conversation that the caller has locked, with its messages.

        Raises HostKeepsConversation where a foreign key of the host's refers to it.
        """
        # Deleting a very long conversation in one statement would exceed `statement_timeout`.
        for sequence in range(_STRIDE, message_count, _STRIDE):
            await self._session.execute(
                delete(Message).where(Message.conversation_id == conversation_id, Message.sequence <= sequence)
            )
        found_sessions = select(VoiceSession.id).where(VoiceSession.conversation_id == conversation_id)
        sessions = (await self._session.scalars(found_sessions)).all()
        try:
            await self._session.execute(delete(Conversation).where(Conversation.id == conversation_id))
        except IntegrityError as error:
            raise HostKeepsConversation(conversation_id, constraint(error)) from error
        # On a cluster no foreign key or trigger deletes what is stored elsewhere than the conversation. On one server
        # nothing is left here, so that a role without the right to DELETE from these tables can erase.
        of_intents = and_(Delivery.conversation_id == conversation_id, Delivery.type == INTENT_EXTRACTED)
        for table, left in ((VoiceSessionId, VoiceSessionId.id.in_(sessions)), (Delivery, of_intents)):
            if await self._session.scalar(select(exists().where(left))):
                await self._session.execute(delete(table).where(left))

    async def ids_of(self, owner: str) -> Sequence[UUID]:
        """Return the ids of all conversations of ``owner``, oldest first."""
        return (
            await self._session.scalars(
                select(Conversation.id).where(reached(owner)).order_by(Conversation.created_at, Conversation.id)
            )
        ).all()


def _by_id(conversation_id: UUID, owner: str | None) -> tuple[ColumnElement[bool], ...]:
    return Conversation.id == conversation_id, reached(owner)


def _in_host_type(owner: str) -> ColumnElement[str]:
    """Return ``owner`` as a value of the type of the host's column `user_id`."""
    row = func.jsonb_populate_record(
        literal_column("NULL::conversations"), func.jsonb_build_object("user_id", cast(owner, Text))
    )
    return row.scalar_table_valued("user_id", Text)
