"""Export and erasure of everything that is on record of one person, the data subject (GDPR, articles 15, 17 and 20).

A subject is the ``user_id`` of conversations. Both operations run with a principal of that subject alone, so that they
cannot read or erase a conversation of another owner, whichever service asks for them.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final
from uuid import UUID

import orjson

from backend.dao_service.connection.database import Database
from backend.dao_service.delivery_dao import DeliveryDAO, Numbered
from backend.dao_service.erasure_dao import ErasureDAO
from backend.dao_service.ownership import reaches
from backend.dao_service.voice_session_dao import VoiceSessionDAO
from backend.errors import (
    ConversationNotFound,
    Fault,
    HostKeepsConversation,
    Invalid,
    OnHold,
    ScopeMissing,
    VoiceSessionNotFound,
)
from backend.principal import Principal
from backend.schemas.conversation import ConversationPage, ConversationQuery, ConversationResponse
from backend.schemas.delivery import DeliveryResponse
from backend.schemas.page import LARGEST_PAGE
from backend.schemas.single_line_json import one_line
from backend.schemas.subject import ErasedPage, ErasedPlace, ErasedQuery, ErasureResponse, Kept, Tombstone
from backend.services import audit, conversations, transcripts, voice_sessions
from backend.vocabulary import AuditAction, Scope

ERASURE_SECONDS: Final = 20.0  # seconds after which an erasure returns how many conversations are left
_MAX_KEPT: Final = 100  # conversations named in a response


def acting_for(principal: Principal, user_id: str | None, scope: Scope, pointer: str) -> Principal:
    """Return a principal of the subject ``user_id``, or else of the caller's own, with ``scope`` alone.

    Raises ScopeMissing for another subject if ``scope`` allows the caller only its own conversations, and Invalid at
    ``pointer`` if it allows those of all owners and ``user_id`` is None.
    """
    owner = principal.owner(scope)
    if user_id is None and owner is None:
        raise Invalid([Fault(pointer, "must name the subject, because this token allows those of all owners")])
    if user_id is not None and not reaches(owner, user_id):
        raise ScopeMissing(scope)
    acting = None if owner is not None else principal.actor
    return Principal(user_id or owner, frozenset({scope}), acting=acting)


async def note_export(database: Database, principal: Principal, subject: str | None) -> None:
    """Add to the audit that the caller begins to export what is of ``subject``, or of all subjects (None).

    What a person exports of their own is not audited.
    """
    if subject is not None and principal.subject == subject:
        return
    details = {} if subject is None else audit.subject_digest(subject)
    async with database.writing() as session:
        await audit.note(session, principal, AuditAction.SUBJECT_EXPORTED, details=details)


async def export(database: Database, principal: Principal, query: ConversationQuery) -> AsyncGenerator[bytes, None]:
    """Return the conversations that ``query`` selects, newest first, as JSON Lines, in pieces.

    A line has one conversation: its messages in spoken order, its voice sessions with their incidents and receipts, and
    its deliveries. The line of a conversation that is erased meanwhile ends early, marked `"erased": true`. Raises what
    `conversations.newest` raises; the first page is read here.
    """
    return _lines(database, principal, query, await conversations.newest(database, principal, query))


async def _lines(
    database: Database, principal: Principal, query: ConversationQuery, page: ConversationPage
) -> AsyncGenerator[bytes, None]:
    while True:
        for conversation in page.data:
            async with aclosing(_line(database, principal, conversation)) as line:
                async for piece in line:
                    yield piece
        if not page.has_more:
            return
        query = query.model_copy(update={"cursor": page.next_cursor})
        page = await conversations.newest(database, principal, query)


async def _line(
    database: Database, principal: Principal, conversation: ConversationResponse
) -> AsyncGenerator[bytes, None]:
    try:
        parts = (await transcripts.transcript(database, principal, conversation.id)).parts
    except ConversationNotFound:
        return
    yield one_line(b'{"conversation":%b,"messages":[' % conversation.model_dump_json().encode())
    separator = b""
    try:
        async with aclosing(parts):
            async for part in parts:
                if part:
                    yield separator + one_line(b",".join(part))
                    separator = b","
    except ConversationNotFound:
        yield b'],"erased":true}\n'
        return
    yield b'],"voice_sessions":['
    separator = b""
    for session_id in await _sessions(database, conversation.id):
        if session := await _session(database, principal, session_id):
            yield separator + session
            separator = b","
    yield b'],"deliveries":%b}\n' % await _deliveries(database, conversation.id)


async def _sessions(database: Database, conversation_id: UUID) -> Sequence[str]:
    async with database.reading() as session:
        return await VoiceSessionDAO(session).of_conversation(conversation_id)


async def _session(database: Database, principal: Principal, session_id: str) -> bytes | None:
    try:
        state = await voice_sessions.state(database, principal, session_id)
        receipt = await voice_sessions.receipt(database, principal, session_id)
    except VoiceSessionNotFound:  # erased meanwhile
        return None
    return one_line(orjson.dumps(state.model_dump(mode="json") | {"receipt": receipt.model_dump(mode="json")}))


async def _deliveries(database: Database, conversation_id: UUID) -> bytes:
    found: list[DeliveryResponse] = []
    before: Numbered | None = None
    async with database.reading() as session:
        while rows := await DeliveryDAO(session).newest(None, conversation_id, before=before, limit=LARGEST_PAGE):
            found += map(DeliveryResponse.model_validate, rows)
            before = Numbered(rows[-1].number, rows[-1].id)
    return orjson.dumps([delivery.model_dump(mode="json") for delivery in found])


async def erased(database: Database, principal: Principal, query: ErasedQuery) -> ErasedPage:
    """Return a page of what is left of the subject's erased conversations; raises ScopeMissing, and Invalid."""
    subject = principal.owner(Scope.CONVERSATIONS_READ) or ""
    place = ErasedPlace.parse(query.cursor) if query.cursor else None
    async with database.reading() as session:
        after = place and place.conversation_id
        rows, more = await ErasureDAO(session).of_owner(subject, after=after, limit=query.limit)
        shown = [Tombstone.model_validate(row) for row in rows]
    if reached := more or (shown[-1].conversation_id if shown else None):
        place = ErasedPlace(reached)
    return ErasedPage(data=shown, next_cursor=place.cursor() if place else None, has_more=more is not None)


async def erase(database: Database, principal: Principal) -> ErasureResponse:
    """Erase every conversation of the subject, each in a transaction of its own, for about ERASURE_SECONDS.

    Returns how many were erased and how many are left; the client repeats the request until only those are left that
    are on hold or that tables of the host keep. Raises ScopeMissing, and Unavailable when the database is not
    available; conversations that were erased before that stay erased.
    """
    subject = principal.owner(Scope.CONVERSATIONS_ERASE) or ""
    deadline = asyncio.get_running_loop().time() + ERASURE_SECONDS
    erased = messages = 0
    kept: list[Kept] = []
    for conversation_id in await conversations.of_subject(database, subject):
        try:
            messages += await conversations.erase(database, principal, conversation_id)
            erased += 1
        except ConversationNotFound:
            pass  # another request has erased it
        except (HostKeepsConversation, OnHold) as refused:
            kept.append(Kept(conversation_id=conversation_id, detail=str(refused)))
        if asyncio.get_running_loop().time() >= deadline:
            break
    left = len(await conversations.of_subject(database, subject))
    return ErasureResponse(user_id=subject, erased=erased, messages=messages, left=left, kept=kept[:_MAX_KEPT])
