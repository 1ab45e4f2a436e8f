"""The timeout of voice sessions: each worker ends those whose phones have sent nothing for a while.

A phone whose battery is empty, or whose app was killed, does not end its session. So the service ends a session after
its timeout, at the time of the last event or message. The ``end_reason`` `abandoned` tells that the service did so.
When the phone sends anything for the session after that, the service reopens the session: the phone was only offline.

A message that is posted by itself is appended without reading its session, because that would cost each message a
statement. `SessionReopener` reads the session after the commit, once a minute for each session.
"""

import asyncio
import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from cachetools import TTLCache

from backend.background_task import BackgroundTask
from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.conversation_dao import ConversationDAO
from backend.dao_service.voice_session_dao import IdleSession, VoiceSessionDAO
from backend.observability import metrics
from backend.services.append_transaction import Recorded
from backend.services.receipts import announce_end, receipt_of
from backend.vocabulary import ABANDONED

_MAX_PAUSE: Final = 60.0  # seconds between two searches
_MAX_ROWS: Final = 100  # sessions that one statement returns
_MAX_CACHED: Final = 10_000  # sessions; with more that post messages at once, some are read more often

log = structlog.get_logger(__name__)


class SessionTimeout(BackgroundTask):
    """Searches for sessions without an event for ``timeout``, in every worker, and ends them."""

    def __init__(self, database: Database, timeout: timedelta) -> None:
        super().__init__()
        self._database = database
        self._timeout = timeout

    async def _run(self) -> None:
        while True:
            # Random, so that the workers do not search at the same time.
            await asyncio.sleep(_pause(self._timeout) * random.uniform(0.5, 1.5))  # noqa: S311
            try:
                if ended := await end_abandoned(self._database, self._timeout):
                    log.info("voice sessions were abandoned", count=ended)
            except Exception as error:  # noqa: BLE001 -- the next search may succeed
                log.warning("abandoned voice sessions not looked for", **describe(error))


class SessionReopener:
    """Reopens sessions that the service has ended after ``timeout``, when messages are posted for them."""

    def __init__(self, database: Database, timeout: timedelta) -> None:
        self._database = database
        # An entry expires before its session can reach the timeout again.
        self._checked: TTLCache[tuple[str, UUID], None] = TTLCache(_MAX_CACHED, _pause(timeout))

    async def note(self, recorded: Iterable[Recorded]) -> None:
        """Reopen the sessions of ``recorded`` messages where the service has ended them; raises nothing."""
        sessions = {
            (each.message.voice_session_id, each.message.conversation_id)
            for each in recorded
            if each.message.voice_session_id
        } - self._checked.keys()
        if not sessions:
            return
        try:
            async with self._database.reading() as session:
                found = await VoiceSessionDAO(session).presumed_ended(sessions)
            for session_id, conversation_id in found:
                await reopen(self._database, session_id, conversation_id)
        except Exception as error:  # noqa: BLE001 -- the messages are committed, and the next one tries again
            log.warning("whether a voice session goes on is not known", **describe(error))
        else:
            self._checked.update(dict.fromkeys(sessions))


async def end_abandoned(database: Database, idle_for: timedelta) -> int:
    """End every session without an event or message for ``idle_for``, and return how many those were.

    Each ends at the time of its last event or message, in a transaction of its own and under its lock, so that only one
    worker ends it. A session that cannot be ended is logged and skipped. Raises Unavailable when the database is not
    available.
    """
    ended = 0
    after: IdleSession | None = None
    while portion := await _idle(database, idle_for, after):
        for after in portion:
            try:
                ended += await _end(database, after, idle_for)
            except Exception as error:  # noqa: BLE001 -- a trigger of the host's may raise anything
                log.warning("a voice session could not be ended", session=after.id, **describe(error))
                break  # the next statement begins after this session, and raises if the database is not available
    return ended


async def reopen(database: Database, session_id: str, conversation_id: UUID) -> None:
    """Undo the end of a session that the service has ended after its timeout, and the end of its conversation."""
    async with database.writing() as session:
        sessions, conversation = VoiceSessionDAO(session), ConversationDAO(session)
        await conversation.lock(conversation_id)
        found = await sessions.lock(session_id, conversation_id)
        if found is None or found.end_reason != ABANDONED:
            return  # erased, ended by its phone, or reopened by another request
        await sessions.reopen(found)
        await conversation.end_session(conversation_id)
    database.wakeups.wake([conversation_id])


def _pause(timeout: timedelta) -> float:
    return min(timeout.total_seconds() / 4, _MAX_PAUSE)


async def _idle(database: Database, idle_for: timedelta, after: IdleSession | None) -> list[IdleSession]:
    async with database.reading() as session:
        return [*await VoiceSessionDAO(session).idle(idle_for, _MAX_ROWS, after)]


async def _end(database: Database, idle: IdleSession, idle_for: timedelta) -> bool:
    async with database.writing() as session:
        sessions, conversation = VoiceSessionDAO(session), ConversationDAO(session)
        last = await conversation.lock(idle.conversation_id)
        found = await sessions.lock(idle.id, idle.conversation_id)
        if found is None or not await sessions.is_idle(found, idle_for):
            return False  # its phone has sent something, or another worker has ended it
        found = await sessions.end(found, await sessions.last_seen(found), ABANDONED, None)
        over = await conversation.end_session(idle.conversation_id)
        await announce_end(database, session, found, over, await receipt_of(sessions, found, last))
    database.wakeups.wake([idle.conversation_id])
    metrics.ENDED_ABANDONED.inc()
    return True
