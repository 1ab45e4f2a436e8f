"""SQL of a health check: insert a message with the service's own role, and roll it back.

The system catalogue cannot answer whether an insert succeeds: row-level security, the host's triggers, constraints and
rules decide for each row. The transaction comes from `Database.rolled_back`, which never commits. The check avoids what
a rollback does not undo:

- The message has a random negative feed position, which the sequence never gives, so that two checks at the same time
  do not wait for each other at the unique index.
- `verbatim.in_feed` is set, so that no reader of the feed waits for that position.
- It inserts a new conversation only if no column of the host draws from a sequence. Otherwise, and where only the host
  can create conversations, it locks the oldest conversation that is unlocked, for a few milliseconds.

A trigger of the host that acts outside of the transaction (dblink, HTTP) acts for a check, too.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.connection.sqlstate import is_invalid_value

_SKIP_FEED: Final = text("SELECT set_config('verbatim.in_feed', 'yes', true)")
_HOST_INSERTS_ONLY: Final = text("""
    SELECT EXISTS (
        SELECT FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = 'conversations'::regclass AND attnum > 0 AND NOT attisdropped
            AND attname NOT IN ('id', 'context_type') AND (
                attnotnull AND NOT atthasdef AND attidentity = ''
                OR attidentity <> '' OR pg_get_expr(adbin, adrelid) LIKE '%nextval(%'
            )
    )
""")
_NEW: Final = text("INSERT INTO conversations (id, context_type) VALUES (gen_random_uuid(), 'voice') RETURNING id")
_OLDEST: Final = text("SELECT id FROM conversations ORDER BY created_at, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED")
_LOCK: Final = text("SELECT id FROM conversations WHERE id = :id FOR NO KEY UPDATE")
_INSERT: Final = text("""
    INSERT INTO messages (id, conversation_id, role, content, sequence, created_at, feed_position)
    SELECT gen_random_uuid(), id, 'system', 'Verbatim checks whether a message can be recorded.', last_sequence + 1,
        clock_timestamp(), -1 - floor(random() * 9e15)::bigint
    FROM conversations WHERE id = :id
    RETURNING id
""")
_CHECK_DEFERRED: Final = text("SET CONSTRAINTS ALL IMMEDIATE")


class InsertCheckDAO:
    """Tries to insert a message; ``session`` comes from `Database.rolled_back`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def record(self) -> bool:
        """Insert a message as the append path does, and return whether the row was visible afterwards.

        Return False if row-level security hides the row or a trigger discards it, and True, without a check, where only
        the host can create conversations and none is unlocked. Raises PostgreSQL's error if it refuses the row.
        """
        await self._session.execute(_SKIP_FEED)
        if await self._session.scalar(_HOST_INSERTS_ONLY):
            conversation = await self._session.scalar(_OLDEST)
        else:
            conversation = await self._new_conversation() or await self._session.scalar(_OLDEST)
        if conversation is None:
            return True
        if await self._session.scalar(_LOCK, {"id": conversation}) is None:
            return False
        inserted = await self._session.scalar(_INSERT, {"id": conversation})
        await self._session.execute(_CHECK_DEFERRED)
        return inserted is not None

    async def _new_conversation(self) -> UUID | None:
        """Return the id of a new conversation, or None where the host's constraints refuse it."""
        try:
            async with self._session.begin_nested():
                made: UUID | None = await self._session.scalar(_NEW)
                return made
        except IntegrityError:
            return None
        except DBAPIError as error:
            if is_invalid_value(error):
                return None
            raise
