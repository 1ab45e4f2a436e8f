"""SQL that reads the messages of a conversation.

Pages are read through asyncpg directly; through SQLAlchemy a page of 100 messages took three times the processor time.
`portions` explains how a page with very long messages is bounded in bytes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from backend.dao_service.conditions import given, numbered
from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.dao_service.portions import Bounds, fitted, statement
from backend.vocabulary import ABANDONED, AuditAction

# The number of the latest redaction, which changes a message without any event; NULL before the first.
_REDACTED: Final = f"""(
    SELECT max(number) FROM audit_entries WHERE conversation_id = {{}} AND action = '{AuditAction.MESSAGE_REDACTED}'
)"""  # noqa: S608 -- made of constants
# The events of a voice session may change the metadata of earlier messages; they also set `seen_at`.
_VERSION: Final = f"""
    c.last_sequence, (SELECT max(seen_at) FROM voice_sessions WHERE conversation_id = c.id), {_REDACTED.format("c.id")}
"""  # noqa: S608 -- made of constants
_VERSION_OF: Final = f"""
    SELECT {_VERSION} FROM conversations AS c WHERE c.id = $1 AND {reaches_sql("$2::text", OWNER_SQL.format("c"))}
"""  # noqa: S608 -- made of constants
# One row for a conversation, so that a page and its version are of one moment. An array of a page takes the driver half
# the time of a row for each message.
_PAGE: Final = f"""
    SELECT {_VERSION}, page.documents, page.sequences
    FROM conversations AS c CROSS JOIN LATERAL (
        SELECT array_agg(document) AS documents, array_agg(sequence) AS sequences
        FROM ({statement("m.sequence", "WHERE m.conversation_id = c.id<conditions> ORDER BY <order>")})
            AS message (document, sequence)
    ) AS page
    WHERE c.id = $2 AND {reaches_sql("$3::text", OWNER_SQL.format("c"))}
"""  # noqa: S608 -- made of constants
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
# Instead of all messages, with the parameters of `_PAGE`. It is a join, because PostgreSQL would run the subquery of an
# IN once for each message of the conversation.
_REDACTED_AFTER: Final = f"""FROM (
    SELECT DISTINCT message_id FROM audit_entries
    WHERE conversation_id = $2 AND action = '{AuditAction.MESSAGE_REDACTED}' AND number > $4
) AS redacted CROSS JOIN LATERAL (
    SELECT * FROM messages WHERE conversation_id = $2 AND id = redacted.message_id
) AS m"""  # noqa: S608 -- made of constants


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
    """A stored message as JSON, and its sequence."""

    document: bytes
    sequence: int

    @property
    def timestamp(self) -> datetime:
        """When it was said."""
        return datetime.fromisoformat(orjson.loads(self.document)["timestamp"])


class MessageRows(NamedTuple):
    """The rows that fit into the requested bounds, whether there are more, and the version at the same moment."""

    rows: list[MessageRow]
    more: bool
    version: Version


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
        row = await self._connection.fetchrow(_VERSION_OF, conversation_id, owner)
        return Version(*row) if row else None

    async def states(self, conversation_ids: Collection[UUID]) -> Mapping[UUID, ConversationState]:
        """Return the state of each of the conversations that exist, by id."""
        rows = await self._connection.fetch(_STATES, conversation_ids)
        return {identity: ConversationState(*rest) for identity, *rest in rows}

    async def recorded(self, wanted: Selection, after: int | None = None) -> MessageRows | None:
        """Return messages in the order of recording, from after the sequence ``after`` (exclusive).

        Returns None if there is no such conversation.
        """
        return await self._page(wanted, ("m.sequence",), None if after is None else (after,))

    async def spoken(self, wanted: Selection, after: tuple[datetime, int] | None = None) -> MessageRows | None:
        """Return messages in the order of speaking, from after the time and sequence ``after`` (exclusive).

        Returns None if there is no such conversation.
        """
        return await self._page(wanted, ("m.timestamp", "m.sequence"), after)

    async def _page(
        self, wanted: Selection, order: tuple[str, ...], after: tuple[Any, ...] | None
    ) -> MessageRows | None:
        conditions, values = given(
            (
                ("m.role = {}", wanted.role),
                ("m.sequence > {}", wanted.after_sequence),
                ("m.sequence <= {}", wanted.up_to_sequence),
                ("m.timestamp >= {}", wanted.since),
                ("m.timestamp < {}", wanted.until),
            )
        )
        shape = _Shape(order, conditions, wanted.backward, after is not None, wanted.redacted_since is not None)
        bounds, owned = wanted.bounds, (wanted.conversation_id, wanted.owner)
        since = (wanted.redacted_since,) if shape.of_redacted else ()
        query = bounds.limit(_page_query(shape))
        found = await self._connection.fetchrow(query, bounds.share, *owned, *since, *values, *(after or ()))
        if found is None:
            return None
        *version, documents, sequences = found
        rows = [*map(MessageRow._make, zip(documents or (), sequences or (), strict=True))]
        return MessageRows(*await fitted(self._connection, rows, bounds), Version(*version))


class _Shape(NamedTuple):
    """What a page's statement depends on; with ``from_place`` the values of the ``order`` are parameters."""

    order: tuple[str, ...]
    conditions: tuple[str, ...]
    backward: bool
    from_place: bool
    of_redacted: bool


@cache
def _page_query(shape: _Shape) -> str:
    """Return `_PAGE` in a ``shape``."""
    order, conditions, backward, from_place, of_redacted = shape
    page = _PAGE.replace("FROM messages AS m", _REDACTED_AFTER) if of_redacted else _PAGE
    if from_place:
        # A comparison of rows starts within the index; the same condition with OR would scan it from its beginning.
        place = ", ".join("{}" for _ in order)
        conditions = (*conditions, f"({', '.join(order)}) {'<' if backward else '>'} ({place})")
    where = numbered(conditions, first=5 if of_redacted else 4)
    by = ", ".join(f"{column} {'DESC' if backward else 'ASC'}" for column in order)
    return page.replace("<conditions>", where).replace("<order>", by)
