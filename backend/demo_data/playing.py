"""Sends planned calls through the services, as their senders would, and moves each into the past."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from backend import deepgram
from backend.dao_service.connection.database import Database
from backend.demo_data.call import Begin, Call, End, EndSession, Forward, Post, SetIntent, Step, Trouble, text_of
from backend.errors import RecordError
from backend.principal import Principal
from backend.schemas.conversation import ConversationCreate, ConversationEnd
from backend.schemas.message import MOST_PER_BATCH
from backend.schemas.voice_session import Receipt, VoiceSessionCreate, VoiceSessionEnd
from backend.services import conversations, demo_data, intents, voice_events, voice_sessions
from backend.services.appender import Appender
from backend.services.session_timeout import end_abandoned
from backend.vocabulary import Scope

_SCOPES: Final = frozenset({Scope.MESSAGES_WRITE, Scope.CONVERSATIONS_WRITE, Scope.INTENTS_WRITE})

_SHORTLY: Final = timedelta(milliseconds=50)

_ItemT = TypeVar("_ItemT")


async def fill(database: Database, calls: Iterable[Call], session_timeout: timedelta, watch: Callable[[], None]) -> int:
    """Record ``calls`` in the past, and return how many messages they have; ``watch`` is called after each.

    Voice sessions that no phone has ended within ``session_timeout`` are ended as a worker of the service ends them.
    Raises RecordError if something is refused.
    """
    messages = 0
    async with playing(database) as player:
        for call in calls:
            recorded_at = await player.record(call)
            await player.move(call, recorded_at)
            if Trouble.ABANDONED in call.wish.troubles:
                await end_abandoned(database, session_timeout)
                await player.move(call, {})  # it has just been changed
            messages += len(recorded_at)
            watch()
    return messages


class Player:
    """Does with the services what the senders of calls do with the API."""

    def __init__(self, database: Database, appender: Appender) -> None:
        self._database = database
        self._appender = appender

    async def record(self, call: Call) -> Mapping[UUID, datetime]:
        """Record a call, and return when each message, by its id, was recorded; raises RecordError if it is refused."""
        await self.open(call)
        recorded_at: dict[UUID, datetime] = {}
        for step in call.steps:
            recorded_at |= await self.take(call, step)
        return recorded_at

    async def move(self, call: Call, recorded_at: Mapping[UUID, datetime]) -> None:
        """Move a call that has been recorded into the past."""
        times = demo_data.PastTimes(call.opened_at, call.over_at, recorded_at, _sessions(call.steps))
        await demo_data.move(self._database, call.id, times)

    async def open(self, call: Call) -> None:
        """Create the conversation of a call; raises RecordError if that is refused."""
        wanted = ConversationCreate(id=call.id, context_type=call.context_type)
        await conversations.create(self._database, _sender(call), wanted)

    async def take(self, call: Call, step: Step) -> Mapping[UUID, datetime]:
        """Take one step of a call, and return when each new message of it was recorded.

        Raises RecordError if it is refused.
        """
        match step:
            case Begin(session_id):
                wanted = VoiceSessionCreate(id=session_id, conversation_id=call.id)
                await voice_sessions.begin(self._database, _sender(call), wanted)
            case Forward():
                return await self._forward(call, step)
            case Post():
                return await self._post(call, step)
            case EndSession(session_id, facts):
                await self.end(call, session_id, facts)
            case End(at):
                ended = ConversationEnd.model_validate({"ended_at": text_of(at)})
                await conversations.end(self._database, _sender(call), call.id, ended)
            case SetIntent(intent, delivery):
                outbox = demo_data.PastOutbox(delivery)
                await intents.put(self._database, _sender(call), call.id, intent, replaceable=None, outbox=outbox)
        return {}

    async def end(self, call: Call, session_id: str, facts: VoiceSessionEnd) -> Receipt:
        """End a voice session of a call, and return its receipt; raises RecordError if that is refused."""
        receipt, _ = await voice_sessions.end(self._database, _sender(call), session_id, facts)
        return receipt

    async def _forward(self, call: Call, step: Forward) -> Mapping[UUID, datetime]:
        recorded_at: dict[UUID, datetime] = {}
        for batch in _batches(step.events):
            read = [deepgram.read(item) for item, _ in batch]
            results = await voice_events.record(self._database, self._appender, _sender(call), step.session_id, read)
            for result, (_, at) in zip(results, batch, strict=True):
                if isinstance(result, RecordError):
                    raise result
                for message in (each.message for each in result.messages if not each.replayed):
                    # A time that the service has estimated may lie after the planned time of recording.
                    recorded_at[message.id] = max(at, (message.timestamp or at) + _SHORTLY)
        return recorded_at

    async def _post(self, call: Call, step: Post) -> Mapping[UUID, datetime]:
        recorded_at: dict[UUID, datetime] = {}
        for batch in _batches(step.messages):
            outcomes = await self._appender.append(_sender(call), [message for message, _ in batch])
            for outcome, (_, at) in zip(outcomes, batch, strict=True):
                if isinstance(outcome, RecordError):
                    raise outcome
                recorded_at[outcome.message.id] = at
        return recorded_at


@asynccontextmanager
async def playing(database: Database) -> AsyncIterator[Player]:
    """Yield a player."""
    appender = Appender(database)
    appender.start()
    try:
        yield Player(database, appender)
    finally:
        await appender.close()


def _sender(call: Call) -> Principal:
    return Principal(call.owner, _SCOPES)


def _sessions(steps: Iterable[Step]) -> dict[str, tuple[datetime, datetime]]:
    """Return the beginning and the last request of each voice session, by id."""
    began: dict[str, datetime] = {}
    seen: dict[str, datetime] = {}
    for step in steps:
        match step:
            case Begin(session_id, at):
                began[session_id] = seen[session_id] = at
            case Forward(session_id, [*_, (_, at)]) | EndSession(session_id, _, at):
                seen[session_id] = max(seen[session_id], at)
    return {session_id: (at, seen[session_id]) for session_id, at in began.items()}


def _batches(items: Sequence[_ItemT]) -> Iterable[Sequence[_ItemT]]:
    return (items[place : place + MOST_PER_BATCH] for place in range(0, len(items), MOST_PER_BATCH))
