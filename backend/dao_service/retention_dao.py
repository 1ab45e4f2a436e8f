"""SQL of the retention: which conversations are older than the period of their context type.

The age of a conversation counts from the latest of these times: its creation, its end, and the recording of its last
message. The time of recording is PostgreSQL's; a wrong clock of a phone makes nothing older than it is. A conversation
with a voice session that has not ended is in use, however old it is.

No index has that age, so a run looks through the conversations in the order of their creation, a stride at a time. A
conversation that was created within the shortest period ends the run.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Interval, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.connection.database import Database
from backend.vocabulary import ContextType

Periods = Mapping[ContextType, timedelta]

_KEY: Final = 0x5652 << 48  # "VR", for the advisory lock
_LOCK_TIMEOUT: Final = 1.0  # seconds; nothing here waits for a lock
_WANTED: Final = (bindparam("types", type_=ARRAY(Text)), bindparam("periods", type_=ARRAY(Interval)))
_LATEST_MESSAGE: Final = "(SELECT created_at FROM messages WHERE conversation_id = c.id ORDER BY sequence DESC LIMIT 1)"
_IN_CALL: Final = "EXISTS (SELECT FROM voice_sessions WHERE conversation_id = c.id AND ended_at IS NULL)"
# A host's time may lie outside the years that Python knows, so a place is text.
_LOOK: Final = text(f"""
    SELECT c.id, c.context_type, held, created_at::text,
        NOT in_call AND coalesce(greatest(created_at, ended_at, latest_message) < now() - period, false) AS due
    FROM (
        SELECT id, created_at, context_type, ended_at,
            CASE WHEN context_type = ANY (:types) THEN {_LATEST_MESSAGE} END AS latest_message,
            {_IN_CALL} AS in_call,
            EXISTS (SELECT FROM conversation_holds WHERE conversation_id = c.id AND released_at IS NULL) AS held
        FROM conversations AS c
        WHERE created_at < now() - :shortest
            AND (created_at, id) > (CAST(CAST(:created_at AS text) AS timestamptz), CAST(:id AS uuid))
        ORDER BY created_at, id LIMIT :stride
    ) AS c LEFT JOIN unnest(:types, :periods) AS wanted (type, period) ON type = c.context_type
    ORDER BY c.created_at, c.id
""").bindparams(*_WANTED, bindparam("shortest", type_=Interval))  # noqa: S608 -- made of constants
_STILL_DUE: Final = text(f"""
    SELECT NOT {_IN_CALL} AND greatest(c.created_at, c.ended_at, {_LATEST_MESSAGE}) < now() - period
    FROM conversations AS c JOIN unnest(:types, :periods) AS wanted (type, period)
        ON type = c.context_type
    WHERE c.id = :id
""").bindparams(*_WANTED)  # noqa: S608 -- made of constants
_ANNOUNCED: Final = text("""
    SELECT details, now() FROM (SELECT) AS one
    LEFT JOIN LATERAL (
        SELECT details FROM audit_entries WHERE action = :action ORDER BY number DESC LIMIT 1
    ) AS latest ON true
""")
_PRUNE: Final = text("""
    DELETE FROM deliveries WHERE id = ANY (ARRAY(
        SELECT id FROM deliveries WHERE state = 'delivered' AND delivered_at < now() - CAST(:age AS interval)
        ORDER BY delivered_at LIMIT :limit FOR UPDATE SKIP LOCKED
    )) RETURNING id
""").bindparams(bindparam("age", type_=Interval))


class Place(NamedTuple):
    """The conversation up to which a run has come: the text of its time of creation, and its id."""

    created_at: str
    id: UUID


BEGINNING: Final = Place("-infinity", UUID(int=0))


class Due(NamedTuple):
    """A conversation that is older than its period, and whether it is on hold."""

    id: UUID
    context_type: str
    held: bool
    place: Place


@asynccontextmanager
async def sole_run(database: Database) -> AsyncIterator[bool]:
    """Yield whether this process alone has the right to run, which it has until the block ends or PostgreSQL is lost.

    Raises DatabaseUnavailable.
    """
    connection = await database.connect_directly(lock=_LOCK_TIMEOUT)
    try:
        yield await connection.fetchval("SELECT pg_try_advisory_lock($1)", _KEY)
    finally:
        connection.terminate()


class RetentionDAO:
    """The statements of the retention, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def due(self, periods: Periods, after: Place, stride: int) -> tuple[Sequence[Due], Place | None]:
        """Look through the next ``stride`` conversations from after ``after`` (exclusive), the oldest first.

        Return those that are due, and the place reached; None if nothing is left.
        """
        place = {"created_at": after.created_at, "id": after.id, "stride": stride, "shortest": min(periods.values())}
        rows = (await self._session.execute(_LOOK, _wanted(periods) | place)).all()
        reached = Place(rows[-1].created_at, rows[-1].id) if rows else None
        return [
            Due(row.id, row.context_type, row.held, Place(row.created_at, row.id)) for row in rows if row.due
        ], reached

    async def is_due(self, conversation_id: UUID, periods: Periods) -> bool:
        """Return whether a conversation that the caller has locked is still due: a message or a call may have come."""
        return bool(await self._session.scalar(_STILL_DUE, _wanted(periods) | {"id": conversation_id}))

    async def announced(self, action: str) -> tuple[Mapping[str, Any] | None, datetime]:
        """Return the details of the latest entry of the audit with ``action``, None without one, and the time."""
        row = (await self._session.execute(_ANNOUNCED, {"action": action})).one()
        return row[0], row[1]

    async def prune(self, age: timedelta, limit: int) -> int:
        """Remove at most ``limit`` deliveries that were delivered ``age`` ago or earlier, and return how many."""
        return len((await self._session.scalars(_PRUNE, {"age": age, "limit": limit})).all())


def _wanted(periods: Periods) -> dict[str, Any]:
    return {"types": [*periods], "periods": [*periods.values()]}
