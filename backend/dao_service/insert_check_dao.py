"""A message that is inserted to see whether it can be, by the role that serves, and taken back.

No catalogue tells all of it: row-level security, a host's triggers, constraints and rules decide row by row. The
transaction comes from `Database.trying`, which never commits. What a rollback does not take back is not touched:

- the message names a feed position that the sequence never gives, below zero and random, so that two trials at the same
  time do not wait for each other at the unique index;
- `verbatim.in_feed` is set, so that no reader of the feed waits for a position to come;
- a new conversation is tried only where no column of the host's draws from a sequence. Else, and where only the host
  can make conversations, the trial takes the oldest one that no other transaction has locked, for a few milliseconds.

A trigger of the host's that acts outside of the transaction (dblink, HTTP) acts for a trial as well.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.connection.sqlstate import is_unfit_value

_OUT_OF_THE_FEED: Final = text("SELECT set_config('verbatim.in_feed', 'yes', true)")
_ONLY_THE_HOST: Final = text("""
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
_SAY: Final = text("""
    INSERT INTO messages (id, conversation_id, role, content, sequence, created_at, feed_position)
    SELECT gen_random_uuid(), id, 'system', 'Verbatim tries whether this can be recorded.', last_sequence + 1,
        clock_timestamp(), -1 - floor(random() * 9e15)::bigint
    FROM conversations WHERE id = :id
    RETURNING id
""")
_DEFERRED: Final = text("SET CONSTRAINTS ALL IMMEDIATE")


class TrialDAO:
    """Tries to record a message; ``session`` is one of `Database.trying`."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def record(self) -> bool:
        """Insert a message as the append path does, and tell whether the row was there afterwards.

        It is not where row-level security hides it, or a trigger discards it. Raises what PostgreSQL refuses with.
        True, too, where only the host can make conversations and there is none that is unlocked.
        """
        await self._session.execute(_OUT_OF_THE_FEED)
        if await self._session.scalar(_ONLY_THE_HOST):
            conversation = await self._session.scalar(_OLDEST)
        else:
            conversation = await self._new() or await self._session.scalar(_OLDEST)
        if conversation is None:
            return True
        if await self._session.scalar(_LOCK, {"id": conversation}) is None:
            return False
        said = await self._session.scalar(_SAY, {"id": conversation})
        await self._session.execute(_DEFERRED)
        return said is not None

    async def _new(self) -> UUID | None:
        """Return a new conversation, None where a rule of the host's asks for more than we know."""
        try:
            async with self._session.begin_nested():
                made: UUID | None = await self._session.scalar(_NEW)
                return made
        except IntegrityError:
            return None
        except DBAPIError as error:
            if is_unfit_value(error):
                return None
            raise
