"""SQL that reads the messages of a conversation.

Pages are read through asyncpg directly; through SQLAlchemy a page of 100 messages took three times the processor time.
`portions` explains how a page with very long messages is bounded in bytes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.dao_service.portions import Bounds, fetch, statement
from backend.vocabulary import ABANDONED, AuditAction

# The events of a voice session may change the metadata of earlier messages; they also set `seen_at`.
_HEARD_AT: Final = "(SELECT max(seen_at) FROM voice_sessions WHERE conversation_id = {})"
# The number of the latest redaction, which changes messages without any event; NULL before the first.
_REDACTED: Final = f"""(
    SELECT max(number) FROM audit_entries WHERE conversation_id = {{}} AND action = '{AuditAction.MESSAGE_REDACTED}'
)"""  # noqa: S608 -- made of constants
_VERSION: Final = f"""
    SELECT last_sequence, {_HEARD_AT.format("$1")}, {_REDACTED.format("$1")} FROM conversations
    WHERE id = $1 AND {reaches_sql("$2::text", OWNER_SQL.format("conversations"))}
"""  # noqa: S608 -- made of constants
_LAST: Final = "(SELECT last_sequence FROM conversations WHERE id = $3)"
_PAGE: Final = statement(
    f"m.sequence, m.timestamp, {_LAST}, {_HEARD_AT.format('$3')}, {_REDACTED.format('$3')}",
    "WHERE <where> ORDER BY <order>",
)
# The host's column may hold times outside the years 1 to 9999, which clients cannot read. The conversation's end is
# presumed if the end of the voice session that ended it is presumed.
_STATES: Final = f"""
    SELECT id, last_sequence, CASE WHEN ended_at IS NOT NULL THEN replace(
        (least(greatest(ended_at, '0001-01-02Z'), '9999-12-30Z') AT TIME ZONE 'UTC')::text, ' ', 'T'
    ) || 'Z' END, ended_at IS NOT NULL AND EXISTS (
        SELECT FROM voice_sessions AS session
        WHERE session.conversation_id = conversations.id AND session.ended_at = conversations.ended_at
            AND session.end_reason = '{ABANDONED}'
    ), {_REDACTED.format("conversations.id")}
    FROM conversations WHERE id = ANY($1::uuid[])
"""  # noqa: S608 -- made of constants
_REDACTED_AFTER: Final = f"""(
    SELECT max(number) FROM audit_entries AS entry
    WHERE entry.conversation_id = $3 AND entry.message_id = m.id AND entry.action = '{AuditAction.MESSAGE_REDACTED}'
) >"""  # noqa: S608 -- made of constants
_OWNED_BY: Final = f"(SELECT {OWNER_SQL.format('conversations')} FROM conversations WHERE id = $3) ="  # noqa: S608


class ConversationState(NamedTuple):
    """A conversation's last sequence, and its end as RFC 3339 text in UTC, None while it is open.

    ``presumed`` means that the service ended the voice session, because its phone sent nothing for the session's
    time-out. ``redacted`` is the number of the latest redaction, None before the first.
    """

    last_sequence: int
    ended_at: str | None
    presumed: bool
    redacted: int | None


class Version(NamedTuple):
    """A value that changes whenever a conversation's messages or their metadata change; the ETag derives from it."""

    last_sequence: int
    heard_at: datetime | None
    redacted: int | None


class MessageRow(NamedTuple):
    """A stored message as JSON, its place in both orders, and the conversation's version when it was read."""

    document: bytes
    sequence: int
    timestamp: datetime
    last_sequence: int
    heard_at: datetime | None
    redacted: int | None

    @property
    def version(self) -> Version:
        """The conversation's version when the row was read."""
        return Version(self.last_sequence, self.heard_at, self.redacted)


class MessageRows(NamedTuple):
    """The rows that fit into the requested bounds, and whether there are more."""

    rows: list[MessageRow]
    more: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """The conditions on the messages of a conversation, joined by AND; None is no condition.

    ``after_sequence`` is exclusive, ``up_to_sequence`` inclusive, ``since`` inclusive, ``until`` exclusive.
    ``redacted_since`` selects messages with a redaction of a higher number. Nothing is
    found if the conversation does not belong to ``owner``; None admits every owner.
    """

    conversation_id: UUID
    owner: str | None
    bounds: Bounds
    backward: bool = False
    role: str | None = None
    after_sequence: int | None = None
    up_to_sequence: int | None = None
    redacted_since: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class MessageDAO:
    """The statements that read messages, on the driver's ``connection``."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def version(self, conversation_id: UUID, owner: str | None) -> Version | None:
        """Return the version of the conversation's messages, or None if there is no such conversation."""
        row = await self._connection.fetchrow(_VERSION, conversation_id, owner)
        return Version(*row) if row else None

    async def states(self, conversation_ids: Collection[UUID]) -> Mapping[UUID, ConversationState]:
        """Return the state of each of the conversations that exist, by id."""
        rows = await self._connection.fetch(_STATES, conversation_ids)
        return {identity: ConversationState(*rest) for identity, *rest in rows}

    async def recorded(self, wanted: Selection, after: int | None = None) -> MessageRows:
        """Return messages in the order of recording, from after the sequence ``after`` (exclusive)."""
        return await self._page(wanted, ("m.sequence",), None if after is None else (after,))

    async def spoken(self, wanted: Selection, after: tuple[datetime, int] | None = None) -> MessageRows:
        """Return messages in the order of speaking, from after the time and sequence ``after`` (exclusive)."""
        return await self._page(wanted, ("m.timestamp", "m.sequence"), after)

    async def _page(self, wanted: Selection, key: tuple[str, ...], after: tuple[Any, ...] | None) -> MessageRows:
        values: list[Any] = [wanted.conversation_id]
        where = "m.conversation_id = $3"
        for condition, value in (
            ("m.role =", wanted.role),
            ("m.sequence >", wanted.after_sequence),
            ("m.sequence <=", wanted.up_to_sequence),
            (_REDACTED_AFTER, wanted.redacted_since),
            ("m.timestamp >=", wanted.since),
            ("m.timestamp <", wanted.until),
            (_OWNED_BY, wanted.owner),
        ):
            if value is not None:
                values.append(value)
                where += f" AND {condition} ${len(values) + 2}"
        if after is not None:
            # A comparison of rows starts within the index; the same condition with OR would scan it from its beginning.
            places = ", ".join(f"${number}" for number in range(len(values) + 3, len(values) + len(after) + 3))
            where += f" AND ({', '.join(key)}) {'<' if wanted.backward else '>'} ({places})"
            values += after
        order = ", ".join(f"{column} {'DESC' if wanted.backward else 'ASC'}" for column in key)
        query = _PAGE.replace("<where>", where).replace("<order>", order)
        return MessageRows(*await fetch(self._connection, MessageRow, query, wanted.bounds, *values))
