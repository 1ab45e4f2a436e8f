"""Voice sessions: a phone begins a call, ends it, and gets a receipt of the events that are on record.

A session ends once: the facts that its phone sends of the end are final, and a retry with the same facts changes
nothing. Only `client_lost` may rise afterwards, because a phone may give up events that it meant to send late. A
session that the service has ended after its timeout (`session_timeout`) is reopened as soon as its phone sends anything
for it.

A session that begins without a conversation opens one. A retry finds the session by its id, whichever release began it,
and so opens no second conversation; of two concurrent requests the second is refused as Busy. The conversation's id
derives from the session's id and the subject. So a request that begins the same session after its conversation was
erased finds the erasure, and is refused with ConversationErased. Earlier releases derived the id from the session's id
alone, and such an erasure is found, too. If a conversation of another subject has the derived id, the session opens a
conversation with a random id; then the same session id begins a new session after an erasure.
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
from backend.observability import metrics
from backend.principal import Principal
from backend.schemas.fields import CLOCK_SKEW
from backend.schemas.voice_session import ProviderToken, Receipt, VoiceSessionCreate, VoiceSessionEnd, VoiceSessionState
from backend.services import conversations
from backend.services.receipts import announce_end, is_final, receipt_of
from backend.services.session_timeout import reopen
from backend.services.voice_events import UNSALTED
from backend.vocabulary import ABANDONED, HISTORY, ContextType, Scope
from verbatim_record.ids import new_id

_PREFIX: Final = "vs_"
# The namespace of the UUIDs of conversations that sessions open (RFC 9562, version 5).
_CONVERSATIONS: Final = UUID("2f6d2c52-6f1e-4b7e-9a57-0d3f8c1b7a90")
_COLUMNS: Final = frozenset(Row.__table__.columns.keys())
_MAX_INCIDENTS: Final = 100  # in the state of a session
_MAX_TYPES: Final = 100  # types of events that are counted; Deepgram has about forty, and a phone can invent others


class Begun(NamedTuple):
    """A session that has begun; ``replayed`` tells whether an earlier request began it."""

    id: str
    conversation_id: UUID
    started_at: datetime
    next_client_sequence: int
    replayed: bool


async def begin(database: Database, principal: Principal, wanted: VoiceSessionCreate) -> Begun:
    """Begin a session in an existing or a new conversation of the caller or of ``wanted.user_id``, and return it.

    Raises ScopeMissing, ConversationNotFound, ConversationErased, VoiceSessionIdReused, HostOwnsConversations, and Busy
    when another request is beginning the same session.
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
                raise Busy("Another request is beginning this voice session")
        if found is None or wanted.conversation_id not in (None, found.conversation_id):
            raise VoiceSessionIdReused
        number = 1 if added else await sessions.highest_number(found) + 1
        presumed = added is None and await sessions.touch(found)
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
    """Return a token for the session's next connection to its provider, Deepgram.

    Raises ScopeMissing, VoiceSessionNotFound, ProviderNotConfigured, ProviderRefused and ProviderUnavailable.
    """
    owner = principal.owner(Scope.MESSAGES_WRITE)
    async with database.writing() as session:
        found = await _get(VoiceSessionDAO(session), session_id, owner)
        presumed = await VoiceSessionDAO(session).touch(found)
    if presumed:
        await reopen(database, session_id, found.conversation_id)
    if tokens is None:
        raise ProviderNotConfigured
    return await tokens.grant()


async def first_token(tokens: TokenClient | None) -> ProviderToken | ProviderRefused | ProviderUnavailable | None:
    """Return a token for a session that has just begun, or the refusal (not raised); None without a Deepgram key."""
    try:
        return await tokens.grant() if tokens else None
    except (ProviderRefused, ProviderUnavailable) as refusal:
        return refusal


async def state(database: Database, principal: Principal, session_id: str) -> VoiceSessionState:
    """Return the state of a session; raises ScopeMissing or VoiceSessionNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    async with database.reading() as session:
        sessions = VoiceSessionDAO(session)
        found = await _get(sessions, session_id, owner)
        events = VoiceEventDAO(session, found)
        counts = await events.counts(_MAX_TYPES)
        may_have_history = HISTORY in counts or len(counts) == _MAX_TYPES
        return VoiceSessionState.model_validate(
            {
                **{name: getattr(found, name) for name in VoiceSessionState.model_fields if name in _COLUMNS},
                "message_count": await sessions.message_count(found),
                "event_counts": counts,
                "unverified_count": await sessions.count_unverified(found) if may_have_history else 0,
                "incidents": [each._asdict() for each in await events.incidents(_MAX_INCIDENTS)],
            }
        )


async def receipt(database: Database, principal: Principal, session_id: str) -> Receipt:
    """Return which events of a session have arrived; raises ScopeMissing or VoiceSessionNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    async with database.reading() as session:
        found = await _get(VoiceSessionDAO(session), session_id, owner)
        last = await ConversationDAO(session).last_sequence(found.conversation_id, None)
        return await receipt_of(VoiceSessionDAO(session), found, last or 0)


async def end(
    database: Database, principal: Principal, session_id: str, facts: VoiceSessionEnd
) -> tuple[Receipt, bool]:
    """End a session, and return its receipt, and whether it had ended before with the same facts.

    A higher ``facts.client_lost`` than the stored one replaces it, also when the session has ended before.

    Raises ScopeMissing, VoiceSessionNotFound, VoiceSessionEnded when it ended with other facts, and Invalid for the
    reason `abandoned`, which only the service sets.
    """
    owner = principal.owner(Scope.MESSAGES_WRITE)
    if facts.reason == ABANDONED:
        raise Invalid([Fault("/reason", "must not be `abandoned`: the service sets it after a session's timeout")])
    async with database.writing() as session:
        sessions = VoiceSessionDAO(session)
        found = await _get(sessions, session_id, owner)
        # The conversation is locked before the session, as an erasure locks them, so that the two do not deadlock.
        last = await ConversationDAO(session).lock(found.conversation_id)
        found = await _existing(sessions.lock(session_id, found.conversation_id))
        ended, raised = is_final(found), facts.client_lost > found.client_lost
        if ended:
            _compare(found, facts)
        else:
            found = await sessions.end(found, facts.ended_at, facts.reason, facts.last_client_sequence)
            over = await ConversationDAO(session).end_session(found.conversation_id)
        if raised:
            found = await sessions.raise_client_lost(found, facts.client_lost)
        answer = await receipt_of(sessions, found, last)
        if not ended:
            await announce_end(database, session, found, over, answer)
    database.wakeups.wake([found.conversation_id])
    if not ended:
        (metrics.ENDED_COMPLETE if answer.complete else metrics.ENDED_INCOMPLETE).inc()
    return answer, ended and not raised


def _compare(ended: Row, facts: VoiceSessionEnd) -> None:
    """Raise VoiceSessionEnded if one of ``facts`` differs from the stored one; facts left out are not compared."""
    stored = {
        "reason": ended.end_reason,
        "last_client_sequence": ended.last_client_sequence,
        "ended_at": ended.ended_at,
    }
    said = facts.model_dump(include={*stored}, exclude_none=True)
    # A time too far ahead was replaced by the time of the first request, and may be plausible by the time of a retry.
    if facts.ended_at and ended.ended_at and facts.ended_at - ended.ended_at > CLOCK_SKEW / 2:
        del said["ended_at"]
    if differing := [name for name, value in said.items() if value != stored[name]]:
        raise VoiceSessionEnded(differing)


async def _get(sessions: VoiceSessionDAO, session_id: str, owner: str | None) -> Row:
    return await _existing(sessions.get(session_id, owner))


async def _existing(search: Awaitable[Row | None]) -> Row:
    found = await search
    if found is None:
        raise VoiceSessionNotFound
    return found
