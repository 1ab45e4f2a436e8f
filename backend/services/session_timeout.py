"""The end of voice sessions from which nothing is heard any more.

A phone whose battery is empty, or whose app was killed, ends no session. So a session from which nothing was heard for
long is presumed to have ended when it was last heard from. Its ``end_reason`` says that this is no word of the phone's.
When the phone sends anything for the session after that, the end is taken back: the phone was only offline.

Messages of a session that are posted by themselves are appended without a look at the session, because that would cost
each of them a statement. `Returns` looks after the commit, once a minute for each session.
"""

import asyncio
import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from cachetools import TTLCache

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.sqlstate import describe
from backend.dao_service.conversation_dao import ConversationDAO
from backend.dao_service.voice_session_dao import IdleSession, VoiceSessionDAO
from backend.observability import metrics
from backend.services.append_transaction import Recorded
from backend.vocabulary import ABANDONED

_LONGEST_PAUSE: Final = 60.0  # seconds
_MOST_AT_ONCE: Final = 100  # sessions that are looked up by one statement
_MOST_REMEMBERED: Final = 10_000  # sessions; with more posting at once some are looked up more often

log = structlog.get_logger(__name__)


class Abandonment:
    """Looks for abandoned sessions, in every process, again and again; the first process to find one ends it."""

    def __init__(self, database: Database, silence: timedelta) -> None:
        self._database = database
        self._silence = silence
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; from inside the event loop."""
        self._task = self._task or asyncio.create_task(self._run(), name="abandonment")

    async def close(self) -> None:
        """Look no more; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            # Not all processes at the same moment.
            await asyncio.sleep(_pause(self._silence) * random.uniform(0.5, 1.5))  # noqa: S311
            try:
                if ended := await end_abandoned(self._database, self._silence):
                    log.info("voice sessions were abandoned", count=ended)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the next look may go better
                log.warning("abandoned voice sessions not looked for", **describe(error))


class Returns:
    """Notices that a session whose end was presumed goes on, by the messages that are posted for it."""

    def __init__(self, database: Database, silence: timedelta) -> None:
        self._database = database
        # A session that was looked up cannot be presumed to have ended before this has run out.
        self._looked_up: TTLCache[tuple[str, UUID], None] = TTLCache(_MOST_REMEMBERED, _pause(silence))

    async def note(self, recorded: Iterable[Recorded]) -> None:
        """Take back the presumed ends of the sessions of messages that are on record; raises nothing."""
        sessions = {
            (each.message.voice_session_id, each.message.conversation_id)
            for each in recorded
            if each.message.voice_session_id
        } - self._looked_up.keys()
        if not sessions:
            return
        try:
            async with self._database.reading() as session:
                found = await VoiceSessionDAO(session).presumed_ended(sessions)
            for session_id, conversation_id in found:
                await reopen(self._database, session_id, conversation_id)
        except Exception as error:  # noqa: BLE001 -- the messages are on record, and the next one looks again
            log.warning("whether a voice session goes on is not known", **describe(error))
        else:
            self._looked_up.update(dict.fromkeys(sessions))


async def end_abandoned(database: Database, silence: timedelta) -> int:
    """End every session from which nothing was heard for ``silence``, and return how many those were.

    Each ends at the time of its last sign, in a transaction of its own and under its lock, so that one of several
    processes ends it. A session that cannot be ended is logged and left out. Raises Unavailable when the database is.
    """
    ended = 0
    after: IdleSession | None = None
    while portion := await _idle(database, silence, after):
        for after in portion:
            try:
                ended += await _end(database, after, silence)
            except Exception as error:  # noqa: BLE001 -- a trigger of the host's may raise anything
                log.warning("a voice session could not be ended", session=after.id, **describe(error))
                break  # the next look goes on behind it, and raises if the database itself is away
    return ended


async def reopen(database: Database, session_id: str, conversation_id: UUID) -> None:
    """Take back the presumed end of a session whose phone has come back, and with it the conversation's."""
    async with database.writing() as session:
        sessions, conversation = VoiceSessionDAO(session), ConversationDAO(session)
        await conversation.lock(conversation_id)
        found = await sessions.lock(session_id)
        if found is None or found.end_reason != ABANDONED:
            return  # erased, ended by its phone, or reopened by another request
        await sessions.reopen(session_id)
        await conversation.end_session(conversation_id)
    database.wakeups.wake([conversation_id])


def _pause(silence: timedelta) -> float:
    return min(silence.total_seconds() / 4, _LONGEST_PAUSE)


async def _idle(database: Database, silence: timedelta, after: IdleSession | None) -> list[IdleSession]:
    async with database.reading() as session:
        return [*await VoiceSessionDAO(session).idle(silence, _MOST_AT_ONCE, after)]


async def _end(database: Database, idle: IdleSession, silence: timedelta) -> bool:
    async with database.writing() as session:
        sessions, conversation = VoiceSessionDAO(session), ConversationDAO(session)
        await conversation.lock(idle.conversation_id)
        found = await sessions.lock(idle.id)
        if found is None or not await sessions.is_idle(idle.id, silence):
            return False  # its phone came back, or another process was first
        await sessions.end(found, await sessions.last_seen(idle.id), ABANDONED, None)
        await conversation.end_session(idle.conversation_id)
    database.wakeups.wake([idle.conversation_id])
    metrics.ENDED_ABANDONED.inc()
    return True
