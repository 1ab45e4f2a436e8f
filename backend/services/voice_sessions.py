"""Voice sessions: a phone begins a call, hangs up, and learns what of it is on record.

A session ends once. What its phone says of the end stands, and again the same changes nothing. An end that the service
presumed (`session_timeout`) is taken back as soon as the phone sends anything for the session.

A session that is begun without a conversation opens one. A retry finds the session by its id, whichever release began
it, and so opens no second conversation; of two attempts at once the second is answered Busy. The conversation's id
derives from the session's id and the subject, so that the erasure of the conversation is found when the session is
begun again: that is ConversationErased. Releases before derived it from the session's id alone, and such an erasure is
found, too. If a conversation of another subject has the derived id, the session opens a conversation with a random id;
the only loss is that after an erasure of that one the same session id begins a new session.
"""

from collections.abc import Awaitable
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from backend.dao_service.connection.database import Database, Session
from backend.dao_service.conversation_dao import ConversationDAO
from backend.dao_service.models import VoiceSession as Row
from backend.dao_service.voice_event_dao import VoiceEventDAO
from backend.dao_service.voice_session_dao import VoiceSessionDAO
from backend.deepgram import PROVIDER, TokenClient
from backend.errors import (
    Busy,
    ConversationErased,
    ConversationIdReused,
    Fault,
    Invalid,
    ProviderNotConfigured,
    ProviderRefused,
    ProviderUnavailable,
    VoiceSessionEnded,
    VoiceSessionIdReused,
    VoiceSessionNotFound,
)
from backend.ids import new_id
from backend.observability import metrics
from backend.principal import Principal
from backend.schemas.voice_session import ProviderToken, Receipt, VoiceSessionCreate, VoiceSessionEnd, VoiceSessionState
from backend.services import conversations
from backend.services.session_timeout import reopen
from backend.services.voice_events import UNSALTED
from backend.vocabulary import ABANDONED, ContextType, Scope

_PREFIX: Final = "vs_"
# What the id of the conversation that a session opens derives from.
_CONVERSATIONS: Final = UUID("2f6d2c52-6f1e-4b7e-9a57-0d3f8c1b7a90")
_COLUMNS: Final = frozenset(Row.__table__.columns.keys())
_INCIDENTS: Final = ("Error", "Warning", "InjectionRefused", "FrustrationDetected")
_MOST_INCIDENTS: Final = 100
_MOST_TYPES: Final = 100  # of events that are counted; Deepgram has some forty, and a phone can make any up
_MOST_RANGES: Final = 1_000  # that a receipt names; a sender fills the first ones and asks again


class Begun(NamedTuple):
    """A session that has begun, and whether it had before."""

    id: str
    conversation_id: UUID
    started_at: datetime
    next_client_sequence: int
    replayed: bool


async def begin(database: Database, principal: Principal, wanted: VoiceSessionCreate) -> Begun:
    """Begin a session in a conversation of the caller's or of ``wanted.user_id``, or in a new one of theirs.

    Raises ScopeMissing, ConversationNotFound, ConversationErased, VoiceSessionIdReused, HostOwnsConversations.
    """
    principal = principal.acting_for(wanted.user_id)
    owner = principal.owner(Scope.CONVERSATIONS_WRITE)
    session_id = wanted.id or _PREFIX + new_id().hex
    async with database.writing() as session:
        sessions = VoiceSessionDAO(session)
        found = await sessions.get(session_id, owner) if wanted.id else None
        added = None
        if found is None:
            conversation_id = wanted.conversation_id or await _open_conversation(session, principal, session_id)
            if not await ConversationDAO(session).begin_session(conversation_id, owner, session_id):
                raise await conversations.missing(session, conversation_id, owner)
            added = await sessions.add(session_id, conversation_id, PROVIDER, unsalted=UNSALTED)
            found = added or await sessions.get(session_id, owner)
            if found and found.conversation_id != conversation_id and wanted.conversation_id is None:
                raise Busy("The voice session is being begun elsewhere")
        if found is None or wanted.conversation_id not in (None, found.conversation_id):
            raise VoiceSessionIdReused
        number = 1 if added else await sessions.highest_number(found) + 1
        presumed = added is None and await sessions.touch(found.id)
    if presumed:
        await reopen(database, found.id, found.conversation_id)
    return Begun(found.id, found.conversation_id, found.started_at, number, replayed=added is None)


async def _open_conversation(session: Session, principal: Principal, session_id: str) -> UUID:
    """Open the conversation of a session that names none, and return its id; raises ConversationErased."""
    before, derived = uuid5(_CONVERSATIONS, session_id), _conversation_of(session_id, principal.subject)
    if isinstance(erased := await conversations.missing(session, before, principal.subject), ConversationErased):
        raise erased
    try:
        async with session.begin_nested():
            await conversations.open_in(session, principal, derived, ContextType.VOICE)
    except ConversationIdReused:
        derived = new_id()
        await conversations.open_in(session, principal, derived, ContextType.VOICE)
    return derived


def _conversation_of(session_id: str, subject: str | None) -> UUID:
    return uuid5(_CONVERSATIONS, session_id if subject is None else f"{session_id}:{subject}")


async def token(database: Database, principal: Principal, session_id: str, tokens: TokenClient | None) -> ProviderToken:
    """Return a token for the session's next connection to its provider.

    Raises VoiceSessionNotFound, ProviderNotConfigured, ProviderRefused and ProviderUnavailable.
    """
    owner = principal.owner(Scope.MESSAGES_WRITE)
    async with database.writing() as session:
        found = await _get(VoiceSessionDAO(session), session_id, owner)
        presumed = await VoiceSessionDAO(session).touch(session_id)
    if presumed:
        await reopen(database, session_id, found.conversation_id)
    if tokens is None:
        raise ProviderNotConfigured
    return await tokens.grant()


async def first_token(tokens: TokenClient | None) -> ProviderToken | ProviderRefused | ProviderUnavailable | None:
    """Return a token for a session that has just begun, or why there is none; None without a provider's key."""
    try:
        return await tokens.grant() if tokens else None
    except (ProviderRefused, ProviderUnavailable) as refusal:
        return refusal


async def state(database: Database, principal: Principal, session_id: str) -> VoiceSessionState:
    """Return what is known of a session; raises VoiceSessionNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    async with database.reading() as session:
        sessions, events = VoiceSessionDAO(session), VoiceEventDAO(session, session_id)
        found = await _get(sessions, session_id, owner)
        return VoiceSessionState.model_validate(
            {
                **{name: getattr(found, name) for name in VoiceSessionState.model_fields if name in _COLUMNS},
                "message_count": await sessions.message_count(found),
                "event_counts": await events.counts(_MOST_TYPES),
                "unverified_count": await sessions.count_unverified(found),
                "incidents": [each._asdict() for each in await events.incidents(_INCIDENTS, _MOST_INCIDENTS)],
            }
        )


async def receipt(database: Database, principal: Principal, session_id: str) -> Receipt:
    """Return what of a session has arrived; raises VoiceSessionNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    async with database.reading() as session:
        found = await _get(VoiceSessionDAO(session), session_id, owner)
        last = await ConversationDAO(session).last_sequence(found.conversation_id, None)
        return await _receipt(VoiceSessionDAO(session), found, last or 0)


async def end(
    database: Database, principal: Principal, session_id: str, facts: VoiceSessionEnd
) -> tuple[Receipt, bool]:
    """End a session, once, and return what of it has arrived, and whether it had ended before.

    Raises VoiceSessionNotFound, VoiceSessionEnded when it ended otherwise, and Invalid for the reason that tells an end
    which the service has presumed.
    """
    owner = principal.owner(Scope.MESSAGES_WRITE)
    if facts.reason == ABANDONED:
        raise Invalid([Fault("/reason", "must be another one: this stands for an end that the service presumes")])
    async with database.writing() as session:
        sessions = VoiceSessionDAO(session)
        found = await _get(sessions, session_id, owner)
        last = await ConversationDAO(session).lock(found.conversation_id)  # before the session, as whoever erases it
        found = await _existing(sessions.lock(session_id))
        ended = found.ended_at is not None and found.end_reason != ABANDONED
        if ended:
            _compare(found, facts)
        else:
            found = await sessions.end(found, facts.ended_at, facts.reason, facts.last_client_sequence)
            await ConversationDAO(session).end_session(found.conversation_id)
        answer = await _receipt(sessions, found, last)
    database.wakeups.wake([found.conversation_id])
    if not ended:
        (metrics.ENDED_COMPLETE if answer.complete else metrics.ENDED_INCOMPLETE).inc()
    return answer, ended


def _compare(ended: Row, facts: VoiceSessionEnd) -> None:
    """Raise VoiceSessionEnded if one of ``facts`` is another than before; what is left out says nothing."""
    stored = {
        "reason": ended.end_reason,
        "last_client_sequence": ended.last_client_sequence,
        "ended_at": ended.ended_at,
    }
    said = facts.model_dump(exclude_none=True)
    if differing := [name for name, value in said.items() if value != stored[name]]:
        raise VoiceSessionEnded(differing)


async def _receipt(sessions: VoiceSessionDAO, found: Row, last_sequence: int) -> Receipt:
    arrived = await sessions.receipt_counts(found, _MOST_RANGES)
    ended = found.ended_at is not None and found.end_reason != ABANDONED
    return Receipt(
        complete=ended and not arrived.missing,
        received=arrived.received,
        expected=arrived.expected,
        missing=arrived.missing,
        duplicates=found.duplicates,
        last_sequence=last_sequence,
        more_missing=arrived.ranges - len(arrived.missing),
    )


async def _get(sessions: VoiceSessionDAO, session_id: str, owner: str | None) -> Row:
    return await _existing(sessions.get(session_id, owner))


async def _existing(search: Awaitable[Row | None]) -> Row:
    found = await search
    if found is None:
        raise VoiceSessionNotFound
    return found
