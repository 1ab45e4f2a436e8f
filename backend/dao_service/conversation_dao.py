"""SQL on conversations.

Every statement filters by ``owner``, the subject of the caller's token; None admits every owner. So another owner's
conversation is not found, locked or changed, exactly like a conversation that does not exist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    Text,
    case,
    cast,
    delete,
    exists,
    func,
    literal_column,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.dao_service.connection.sqlstate import constraint, is_invalid_value, missing_column
from backend.dao_service.models import Conversation, Message, VoiceSession
from backend.dao_service.models.mixins import EARLIEST_READABLE
from backend.dao_service.ownership import OWNER_SQL, owner_text, reached, reaches_sql
from backend.dao_service.summary_dao import CURRENT, Basis, Current
from backend.errors import HostKeepsConversation, HostOwnsConversations
from backend.vocabulary import LARGEST_INT

_STRIDE: Final = 20_000
# The columns as the mapping reads them, in SQL for the driver: a session of SQLAlchemy takes 0.5 ms for one row.
_COLUMNS: Final = select(Conversation).compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
_BY_ID: Final = f"""
    {_COLUMNS} WHERE conversations.id = $1 AND {reaches_sql("$2::text", OWNER_SQL.format("conversations"))}
"""
_ROW: Final = aliased(Conversation, name="c")  # the name that `CURRENT` refers to


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
    """The message count and the owner of a conversation that was just erased."""

    message_count: int
    owner: str | None


class Listed(NamedTuple):
    """A conversation and, if that was asked for, what its summary needs."""

    conversation: Conversation
    current: Current | None

    @classmethod
    def of(cls, conversation: Conversation, *current: Any) -> Self:
        """Return a row of `_listed`."""
        if not current:
            return cls(conversation, None)
        sessions, state, first_words = current
        return cls(conversation, Current(Basis(conversation.last_sequence, sessions), state, first_words))


async def read_row(connection: asyncpg.Connection, conversation_id: UUID, owner: str | None) -> dict[str, Any] | None:
    """Return the columns of a conversation by their names in `Conversation`, or None if there is none."""
    row = await connection.fetchrow(_BY_ID, conversation_id, owner)
    return None if row is None else dict(row)


class ConversationDAO:
    """The statements on conversations, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, conversation_id: UUID, owner: str | None) -> Conversation | None:
        """Return the conversation, or None if there is none."""
        return await self._session.scalar(select(Conversation).where(*_by_id(conversation_id, owner)))

    async def read(self, conversation_id: UUID, owner: str | None) -> Listed | None:
        """Return the conversation and what its summary needs; None if there is none."""
        found = select(Conversation.id).where(*_by_id(conversation_id, owner)).subquery()
        row = (await self._session.execute(_listed(found, current=True))).one_or_none()
        return row and Listed.of(*row)

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

    async def newest(  # noqa: PLR0913 -- the parts of one page
        self,
        wanted: ConversationFilter,
        owner: str | None,
        *,
        before: tuple[datetime, UUID] | None,
        limit: int,
        size: int,
        current: bool,
    ) -> tuple[Sequence[Listed], bool]:
        """Return conversations, newest first, from after ``before`` (exclusive), and whether there are more.

        There are at most ``limit``, and their intents take at most ``size`` bytes together; the first is always
        returned. With ``current`` they come with what their summaries need.
        """
        statement = (
            select(Conversation.id, Conversation.created_at, _intent_size().label("size"))
            .where(reached(owner), reached(wanted.user_id))
            .order_by(*_newest(Conversation))
            .limit(limit + 1)
        )
        for column, value in (
            (Conversation.context_type, wanted.context_type),
            (Conversation.extracted_intent, wanted.intent),
            (Conversation.linked_goal_id, wanted.linked_goal_id),
            (Conversation.linked_task_id, wanted.linked_task_id),
            (Conversation.voice_session_id, wanted.voice_session_id),
        ):
            if value is not None:
                statement = statement.where(column == value)
        if wanted.ended is not None:
            # PostgreSQL uses the partial indexes for IS NULL and IS NOT NULL, not for a comparison of booleans.
            ended = Conversation.ended_at
            statement = statement.where(ended.is_not(None) if wanted.ended else ended.is_(None))
        if wanted.since is not None:
            statement = statement.where(Conversation.created_at >= wanted.since)
        if wanted.until is not None:
            statement = statement.where(Conversation.created_at < wanted.until)
        if before is not None:
            statement = statement.where(tuple_(Conversation.created_at, Conversation.id) < tuple_(*before))
        found = statement.subquery()
        behind = found.c.created_at.desc(), found.c.id.desc()
        summed = select(
            found.c.id,
            found.c.size,
            func.sum(found.c.size).over(order_by=behind, rows=(None, 0)).label("bytes"),
            func.count().over().label("count"),
        ).subquery()
        fits = summed.c.bytes <= func.greatest(size, summed.c.size)
        statement = _listed(summed, summed.c.count, current=current).where(fits)
        rows = (await self._session.execute(statement.order_by(*_newest(_ROW)).limit(limit))).all()
        return [Listed.of(row[1], *row[2:]) for row in rows], bool(rows) and rows[0][0] > len(rows)

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
        moment = func.clock_timestamp() if ended_at is None else ended_at
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

    async def end_session(self, conversation_id: UUID) -> None:
        """Derive the conversation's end and duration from its voice sessions; while one is open there is no end."""
        of_it = VoiceSession.conversation_id == conversation_id
        under_way = exists().where(of_it, VoiceSession.ended_at.is_(None))
        last, length = (
            select(function(column)).where(of_it).scalar_subquery()
            for function, column in (
                (func.max, VoiceSession.ended_at),
                (func.sum, VoiceSession.duration_seconds),
            )
        )
        await self._session.execute(
            update(Conversation)
            .where(Conversation.id == conversation_id)
            .values(
                ended_at=case((~under_way, last)),
                duration_seconds=case((length > LARGEST_INT, LARGEST_INT), else_=length),  # LEAST would ignore a NULL
                updated_at=func.now(),
            )
        )

    async def erase(self, conversation_id: UUID, owner: str | None) -> Erased | None:
        """Delete the conversation with its messages, and return its count and owner, or None if there was none.

        Raises HostKeepsConversation where a foreign key of the host's refers to it.
        """
        found = (
            await self._session.execute(
                select(Conversation.last_sequence, owner_text).where(*_by_id(conversation_id, owner)).with_for_update()
            )
        ).one_or_none()
        if found is None:
            return None
        erased = Erased(*found)
        # Deleting a very long conversation in one statement would exceed `statement_timeout`.
        for sequence in range(_STRIDE, erased.message_count, _STRIDE):
            await self._session.execute(
                delete(Message).where(Message.conversation_id == conversation_id, Message.sequence <= sequence)
            )
        try:
            await self._session.execute(delete(Conversation).where(Conversation.id == conversation_id))
        except IntegrityError as error:
            raise HostKeepsConversation(conversation_id, constraint(error)) from error
        return erased

    async def ids_of(self, owner: str) -> Sequence[UUID]:
        """Return the ids of all conversations of ``owner``, oldest first."""
        return (
            await self._session.scalars(
                select(Conversation.id).where(reached(owner)).order_by(Conversation.created_at, Conversation.id)
            )
        ).all()


def _intent_size() -> ColumnElement[int]:
    """Return an intent's size in bytes; PostgreSQL knows it without reading the intent unless it is compressed."""
    payload = Conversation.intent_payload
    return case(
        (func.pg_column_compression(payload).is_(None), func.coalesce(func.pg_column_size(payload), 0)),
        else_=func.octet_length(cast(payload, Text)),
    )


def _listed(ids: Subquery, *more: ColumnElement[Any], current: bool) -> Select[Any]:
    """Select ``more``, the conversations of the column `id` of ``ids`` and, with ``current``, what summaries need."""
    columns = (*more, _ROW, *(CURRENT.c if current else ()))
    statement = select(*columns).select_from(_ROW).join(ids, ids.c.id == _ROW.id)
    return statement.join(CURRENT, true()) if current else statement


def _newest(table: type[Conversation]) -> tuple[ColumnElement[Any], ...]:
    return table.created_at.desc(), table.id.desc()


def _by_id(conversation_id: UUID, owner: str | None) -> tuple[ColumnElement[bool], ...]:
    return Conversation.id == conversation_id, reached(owner)


def _in_host_type(owner: str) -> ColumnElement[str]:
    """Return ``owner`` as a value of the type of the host's column `user_id`."""
    row = func.jsonb_populate_record(
        literal_column("NULL::conversations"), func.jsonb_build_object("user_id", cast(owner, Text))
    )
    return row.scalar_table_valued("user_id", Text)
