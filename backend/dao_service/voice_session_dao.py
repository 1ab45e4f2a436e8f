"""SQL on voice sessions. The owner of a session is the owner of its conversation.

A session is stored with its conversation, on a cluster on the same node, so each statement names both. The directory
`voice_session_ids` tells the conversation of a session, and that its id is taken.

What a phone has sent in a session is in two tables: messages, and events that are not messages. A number of the phone
(`client_sequence`) that is in either table has arrived; the receipt names the others.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import ColumnElement, and_, case, exists, func, literal, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.dao_service.models import Conversation, VoiceSession, VoiceSessionId
from backend.dao_service.ownership import reached
from backend.dao_service.placement import SPREAD
from backend.vocabulary import ABANDONED, LARGEST_INT

_ARRIVED: Final = """
    WITH arrived AS (
        SELECT client_sequence AS number FROM messages
        WHERE voice_session_id = :session AND conversation_id = :conversation AND client_sequence > 0
        UNION
        SELECT client_sequence FROM voice_events
        WHERE voice_session_id = :session AND conversation_id = :conversation AND client_sequence > 0
    )
"""
# A gap is the range between two consecutive numbers that arrived, found in one ordered pass. The same by PostgreSQL's
# multiranges took a second for 150,000 numbers.
_COUNT: Final = text(f"""
    {_ARRIVED}, counted AS (
        SELECT count(*) AS received, greatest(max(number), :counted_by_phone, 0)::bigint AS expected FROM arrived
    ), gap AS (
        SELECT number + 1 AS first, lead(number, 1, expected + 1) OVER (ORDER BY number) - 1 AS last
        FROM (SELECT 0::bigint AS number UNION ALL SELECT number FROM arrived) AS edge CROSS JOIN counted
    ), missing AS MATERIALIZED (SELECT first, last FROM gap WHERE first <= last)
    SELECT received, expected, (
        SELECT coalesce(json_agg(json_build_array(first, last) ORDER BY first), '[]')
        FROM (SELECT first, last FROM missing ORDER BY first LIMIT :most) AS named
    ) AS missing, (SELECT count(*) FROM missing) AS ranges
    FROM counted
""")  # noqa: S608 -- made of constants
# PostgreSQL, which expects few numbers, would read all of them for max().
_HIGHEST: Final = text("""
    SELECT greatest(
        0,
        (
            SELECT client_sequence FROM messages
            WHERE voice_session_id = :session AND conversation_id = :conversation AND client_sequence > 0
            ORDER BY client_sequence DESC LIMIT 1
        ),
        (
            SELECT client_sequence FROM voice_events
            WHERE voice_session_id = :session AND conversation_id = :conversation AND client_sequence > 0
            ORDER BY client_sequence DESC LIMIT 1
        )
    )
""")
# By the conversation's index on the time of recording: the one of sessions has all messages of a long call.
_IDLE: Final = """
    SELECT id, conversation_id, seen_at FROM voice_sessions AS session
    WHERE ended_at IS NULL AND seen_at < now() - CAST(:silence AS interval) AND NOT EXISTS (
        SELECT FROM messages AS message
        WHERE coalesce(message.voice_session_id, '') = session.id
            AND message.conversation_id = session.conversation_id
            AND message.created_at >= now() - CAST(:silence AS interval)
    )
"""
_ALL_IDLE: Final = text(f"""
    {_IDLE} AND (CAST(:seen_at AS timestamptz) IS NULL OR (seen_at, id) > (:seen_at, :id))
    ORDER BY seen_at, id LIMIT :limit
""")
_ONE_IDLE: Final = text(f"{_IDLE} AND id = :session AND conversation_id = :conversation")
_LAST_SEEN: Final = text("""
    SELECT greatest(session.seen_at, max(message.created_at))
    FROM voice_sessions AS session LEFT JOIN messages AS message
        ON message.voice_session_id = session.id AND message.conversation_id = session.conversation_id
    WHERE session.id = :session AND session.conversation_id = :conversation
    GROUP BY session.seen_at
""")
# The joins read each side once into a hash; NOT IN would compare each pair where there are many.
_UNVERIFIED: Final = text("""
    WITH past AS (
        SELECT past.id, detail ->> 'role' AS role, detail ->> 'sha256' AS digest, call.id AS call_id
        FROM voice_events AS past LEFT JOIN jsonb_array_elements_text(detail -> 'call_ids') AS call (id) ON true
        WHERE voice_session_id = :session AND conversation_id = :conversation AND type = 'History'
    ), said AS (
        SELECT DISTINCT role, encode(sha256(convert_to(content, 'UTF8')), 'hex') AS digest FROM messages
        WHERE conversation_id = :conversation
    ), answered AS (
        SELECT DISTINCT metadata ->> 'call_id' AS call_id FROM messages
        WHERE conversation_id = :conversation AND role = 'function' AND metadata ->> 'state' = 'completed'
    )
    SELECT count(DISTINCT past.id)
    FROM past LEFT JOIN said USING (role, digest) LEFT JOIN answered USING (call_id)
    WHERE CASE WHEN past.digest IS NULL THEN past.call_id IS NOT NULL AND answered.call_id IS NULL
        ELSE said.digest IS NULL END
""")
# It rises each time, even if the clock is set back: readers detect changes by it. It reaches at least ``after``.
SEEN: Final = "seen_at = greatest(statement_timestamp(), {after}, seen_at)"
PRESUMED: Final = f"coalesce(end_reason = '{ABANDONED}', false)"
TICK: Final = timedelta(microseconds=1)
_TOUCH: Final = text(f"""
    UPDATE voice_sessions SET {SEEN.format(after="CAST(:after AS timestamptz)")}
    WHERE id = :session AND conversation_id = :conversation RETURNING {PRESUMED}
""")  # noqa: S608 -- made of constants
# A session without a salt that is younger than this shows that processes of a release without salts are running.
_OVERLAP: Final = timedelta(days=1)


class IdleSession(NamedTuple):
    """An open session whose phone has sent no event since ``seen_at``."""

    id: str
    conversation_id: UUID
    seen_at: datetime


class ReceiptCounts(NamedTuple):
    """The numbers of a session: how many arrived, the highest expected, and the missing ranges.

    ``missing`` names the first ranges, both ends inclusive; ``ranges`` counts all of them.
    """

    received: int
    expected: int
    missing: list[list[int]]
    ranges: int


class VoiceSessionDAO:
    """The statements on voice sessions, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, session_id: str, owner: str | None) -> VoiceSession | None:
        """Return the session if its conversation belongs to ``owner`` (None admits every owner), else None."""
        conversation_id = await self._session.scalar(
            select(VoiceSessionId.conversation_id).where(VoiceSessionId.id == session_id)
        )
        return await self._session.scalar(
            select(VoiceSession)
            .join(Conversation, Conversation.id == VoiceSession.conversation_id)
            .where(_is(session_id, conversation_id))
            .where(reached(owner))
        )

    async def add(
        self, session_id: str, conversation_id: UUID, provider: str, *, unsalted: UUID
    ) -> VoiceSession | None:
        """Insert a session and return it, or None if the id is taken.

        Its salt is random, or ``unsalted`` while processes of a release without salts may be running.
        """
        mine = await self._session.scalar(
            insert(VoiceSessionId)
            .values(id=session_id, conversation_id=conversation_id)
            .on_conflict_do_nothing()
            .returning(VoiceSessionId.id)
        )
        if mine is None:
            return None
        another = aliased(VoiceSession)
        old = exists().where(another.salt.is_(None), another.started_at > func.now() - _OVERLAP)
        # No release without salts runs on a cluster, and the question would need all of its nodes.
        is_cluster = await self._session.scalar(select(func.to_regclass(SPREAD).is_not(None)))
        salt = uuid4() if is_cluster else case((old, literal(unsalted, SQL_UUID)), else_=func.gen_random_uuid())
        return await self._session.scalar(
            insert(VoiceSession)
            .values(id=session_id, conversation_id=conversation_id, provider=provider, salt=salt)
            .on_conflict_do_nothing()
            .returning(VoiceSession)
        )

    async def of_conversation(self, conversation_id: UUID) -> Sequence[str]:
        """Return the ids of the conversation's sessions, oldest first."""
        found = select(VoiceSession.id).where(VoiceSession.conversation_id == conversation_id)
        return (await self._session.scalars(found.order_by(VoiceSession.started_at, VoiceSession.id))).all()

    async def first_began(self, conversation_id: UUID) -> datetime | None:
        """Return when the earliest session of the conversation began, None without one."""
        return await self._session.scalar(
            select(func.min(VoiceSession.started_at)).where(VoiceSession.conversation_id == conversation_id)
        )

    async def lock(self, session_id: str, conversation_id: UUID) -> VoiceSession | None:
        """Lock the session's row until the transaction ends, and return the session, or None if there is none."""
        return await self._session.scalar(
            select(VoiceSession)
            .where(_is(session_id, conversation_id))
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )

    async def touch(self, session: VoiceSession) -> bool:
        """Set the time of the phone's last request to now.

        Return whether the service has presumed the session's end, so that the caller must reopen it.
        """
        return bool(await self._session.scalar(_TOUCH, _names(session) | {"after": session.seen_at + TICK}))

    async def reopen(self, session: VoiceSession) -> None:
        """Remove the end of a session that the caller has locked, because its phone has sent a request."""
        await self._session.execute(
            update(VoiceSession)
            .where(_is(session.id, session.conversation_id))
            .values(ended_at=None, end_reason=None, duration_seconds=None, last_client_sequence=None)
        )
        await self.touch(session)

    async def presumed_ended(self, sessions: Collection[tuple[str, UUID]]) -> Sequence[tuple[str, UUID]]:
        """Return those of ``sessions``, each a session's and its conversation's id, whose end the service presumed."""
        found = select(VoiceSession.id, VoiceSession.conversation_id).where(
            VoiceSession.end_reason == ABANDONED,
            tuple_(VoiceSession.id, VoiceSession.conversation_id).in_(sessions),
        )
        return [(row[0], row[1]) for row in await self._session.execute(found)]

    async def end(
        self, session: VoiceSession, ended_at: datetime | None, reason: str | None, last_client_sequence: int | None
    ) -> VoiceSession:
        """End the session at ``ended_at``, or now by PostgreSQL's clock, and return it."""
        moment = func.statement_timestamp() if ended_at is None else ended_at
        length = func.extract("epoch", moment - VoiceSession.started_at)
        ended = await self._session.scalar(
            update(VoiceSession)
            .where(_is(session.id, session.conversation_id))
            .values(
                ended_at=moment,
                end_reason=reason,
                last_client_sequence=last_client_sequence,
                duration_seconds=func.least(func.greatest(func.round(length), 0), LARGEST_INT),
            )
            .returning(VoiceSession)
            .execution_options(populate_existing=True)
        )
        assert ended is not None  # noqa: S101 -- the caller has locked the row
        return ended

    async def raise_client_lost(self, session: VoiceSession, lost: int) -> VoiceSession:
        """Set to ``lost`` how many events the phone gave up, unless that is more already; return the session."""
        raised = await self._session.scalar(
            update(VoiceSession)
            .where(_is(session.id, session.conversation_id))
            .values(client_lost=func.greatest(VoiceSession.client_lost, lost))
            .returning(VoiceSession)
            .execution_options(populate_existing=True)
        )
        assert raised is not None  # noqa: S101 -- the caller has locked the row
        return raised

    async def highest_number(self, session: VoiceSession) -> int:
        """Return the highest number of the phone that has arrived, or 0."""
        found: int = await self._session.scalar(_HIGHEST, _names(session))
        return found

    async def receipt_counts(self, session: VoiceSession, most: int) -> ReceiptCounts:
        """Return which of the phone's numbers arrived and which are missing; at most ``most`` ranges are named."""
        values = {**_names(session), "counted_by_phone": session.last_client_sequence, "most": most}
        return ReceiptCounts(*(await self._session.execute(_COUNT, values)).one())

    async def count_unverified(self, session: VoiceSession) -> int:
        """Return how many entries of the provider's history have no equal message in the conversation."""
        found: int = await self._session.scalar(_UNVERIFIED, _names(session))
        return found

    async def message_count(self, session: VoiceSession) -> int:
        """Return how many messages of the session are on record."""
        statement = text(
            "SELECT count(*) FROM messages WHERE voice_session_id = :session AND conversation_id = :conversation"
        )
        found: int = await self._session.scalar(statement, _names(session))
        return found

    async def idle(self, silence: timedelta, limit: int, after: IdleSession | None) -> Sequence[IdleSession]:
        """Return at most ``limit`` open sessions whose phone has been silent for ``silence``, the longest first.

        They begin after the session ``after`` (exclusive).
        """
        values = {"silence": silence, "limit": limit, "seen_at": after and after.seen_at, "id": after and after.id}
        return [IdleSession(*row) for row in await self._session.execute(_ALL_IDLE, values)]

    async def is_idle(self, session: VoiceSession, silence: timedelta) -> bool:
        """Return whether the session is open and its phone has sent nothing for ``silence``."""
        found = await self._session.execute(_ONE_IDLE, _names(session) | {"silence": silence})
        return found.one_or_none() is not None

    async def last_seen(self, session: VoiceSession) -> datetime:
        """Return the time of the session's last request or message, whichever is later."""
        found: datetime = await self._session.scalar(_LAST_SEEN, _names(session))
        return found


def _is(session_id: str, conversation_id: UUID | None) -> ColumnElement[bool]:
    return and_(VoiceSession.id == session_id, VoiceSession.conversation_id == conversation_id)


def _names(session: VoiceSession) -> dict[str, object]:
    return {"session": session.id, "conversation": session.conversation_id}
