"""The use cases of conversations: open, list, read, link, end and erase them, each in one transaction."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from backend.dao_service.connection.database import Database, Session
from backend.dao_service.conversation_dao import ConversationDAO, ConversationFilter, ConversationReader
from backend.dao_service.erasure_dao import ErasureDAO
from backend.dao_service.hold_dao import HoldDAO
from backend.dao_service.link_dao import LinkDAO
from backend.dao_service.models import Conversation as Row
from backend.dao_service.ownership import owner_digest, reaches, reaches_erased
from backend.dao_service.portions import Bounds
from backend.errors import (
    ConversationEnded,
    ConversationErased,
    ConversationHasSessions,
    ConversationIdReused,
    ConversationNotFound,
    LinkNotFound,
    OnHold,
    Refused,
    ScopeMissing,
)
from backend.principal import Principal
from backend.schemas.conversation import (
    ConversationCreate,
    ConversationEnd,
    ConversationPage,
    ConversationPatch,
    ConversationPlace,
    ConversationQuery,
    ConversationResponse,
)
from backend.services import audit
from backend.services.announcing import announce
from backend.services.summaries import Summaries
from backend.vocabulary import Announcement, AuditAction, ContextType, Scope
from verbatim_record.ids import new_id

# A function that raises PreconditionFailed if the conversation's current state is not the one that the client has seen.
Precondition = Callable[[ConversationResponse], None]

_PATIENCE: Final = timedelta(seconds=1)  # for the figures of a page, which one very long conversation must not delay
_PAGE_BYTES: Final = 2**20  # of the intents in a page; serializing them takes ten times as much memory


async def create(
    database: Database, principal: Principal, wanted: ConversationCreate
) -> tuple[ConversationResponse, bool]:
    """Open a conversation of the caller or of ``wanted.user_id``; return it, and whether it existed before.

    Raises ScopeMissing for another subject without the scope for it, ConversationIdReused when the id belongs to
    another conversation, ConversationErased when it belonged to an erased one, and HostOwnsConversations when the
    host's table needs values that only the host knows.
    """
    principal = principal.acting_for(wanted.user_id)
    principal.owner(Scope.CONVERSATIONS_WRITE)
    async with database.writing() as session:
        found, added = await open_in(session, principal, wanted.id or new_id(), wanted.context_type)
        answer = ConversationResponse.model_validate(found)
    return answer, not added


async def open_in(
    session: Session, principal: Principal, conversation_id: UUID, context_type: ContextType
) -> tuple[Row, bool]:
    """Open a conversation of ``principal`` in the transaction ``session``; return it, and whether it is new.

    Raises ConversationIdReused, ConversationErased and HostOwnsConversations as `create` does.
    """
    owner = principal.subject
    conversations = ConversationDAO(session)
    added = await conversations.add(conversation_id, context_type, owner)
    # After the INSERT, which waits for an erasure of the same id that is not committed yet.
    if (erasure := await ErasureDAO(session).get(conversation_id)) and added:
        if erasure.owner_digest == owner_digest(conversation_id, owner):
            raise ConversationErased(conversation_id)
        raise ConversationIdReused(conversation_id)
    found = added or await conversations.get(conversation_id, owner)
    if found is None or found.context_type != context_type or (owner is None and found.user_id is not None):
        raise ConversationIdReused(conversation_id)
    return found, added is not None


async def missing(session: Session, conversation_id: UUID, owner: str | None) -> Refused:
    """Return the refusal for a conversation that does not exist, or not for ``owner`` (None: any owner).

    That is ConversationErased if it belonged to ``owner``, else ConversationNotFound.
    """
    erasure = await ErasureDAO(session).get(conversation_id)
    if erasure and reaches_erased(owner, conversation_id, erasure.owner_digest):
        return ConversationErased(conversation_id)
    return ConversationNotFound(conversation_id)


async def get(
    database: Database, principal: Principal, conversation_id: UUID, summaries: Summaries | None = None
) -> ConversationResponse:
    """Return a conversation, with a summary if there are ``summaries``; raises ScopeMissing or ConversationNotFound."""
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    async with database.driver_connection() as connection:
        found = await ConversationReader(connection, current=summaries is not None).get(conversation_id, owner)
    if found is None:
        raise ConversationNotFound(conversation_id)
    answer = ConversationResponse.model_validate(found.columns)
    if summaries and found.current:
        answer.summary = (await summaries.of({conversation_id: found.current})).get(conversation_id)
    return answer


async def newest(
    database: Database, principal: Principal, query: ConversationQuery, summaries: Summaries | None = None
) -> ConversationPage:
    """Return a page of conversations, newest first, with the summaries if ``summaries`` are given.

    Raises Invalid for a cursor that this service has not issued, and ScopeMissing for another subject's ``user_id``
    without the scope for it.
    """
    owner = principal.owner(Scope.CONVERSATIONS_READ)
    if query.user_id is not None and not reaches(owner, query.user_id):
        raise ScopeMissing(Scope.CONVERSATIONS_READ_ANY)
    place = ConversationPlace.parse(query.cursor) if query.cursor else None
    wanted = ConversationFilter(**query.model_dump(exclude={"include", "limit", "cursor"}))
    async with database.driver_connection() as connection:
        reader = ConversationReader(connection, current=summaries is not None)
        rows, more = await reader.newest(wanted, owner, before=place, bounds=Bounds(query.limit, _PAGE_BYTES))
    shown = [ConversationResponse.model_validate(row.columns) for row in rows]
    current = {row.columns["id"]: row.current for row in rows if row.current}
    if summaries:
        found = await summaries.of(current, _PATIENCE)
        for each in shown:
            each.summary = found.get(each.id)
    if shown:
        place = ConversationPlace(shown[-1].created_at, shown[-1].id)
    return ConversationPage(data=shown, next_cursor=place.cursor() if place else None, has_more=more)


async def link(
    database: Database,
    principal: Principal,
    conversation_id: UUID,
    patch: ConversationPatch,
    precondition: Precondition | None = None,
) -> ConversationResponse:
    """Link a conversation to a goal or a task of the host, and return it.

    Raises ScopeMissing, ConversationNotFound, PreconditionFailed, and LinkNotFound if the goal or task does not exist.
    """
    owner = principal.owner(Scope.CONVERSATIONS_WRITE)
    links = patch.model_dump(include=patch.model_fields_set)
    async with database.writing() as session:
        if precondition:
            precondition(await _locked(session, conversation_id, owner))
        targets = LinkDAO(session)
        for field, target in links.items():
            if target is not None and not await targets.exists(field, target):
                raise LinkNotFound(field, target)
        linked = await ConversationDAO(session).link(conversation_id, owner, links)
        if linked is None:
            raise ConversationNotFound(conversation_id)
        return ConversationResponse.model_validate(linked)


async def end(
    database: Database,
    principal: Principal,
    conversation_id: UUID,
    facts: ConversationEnd,
    precondition: Precondition | None = None,
) -> tuple[ConversationResponse, bool]:
    """End a conversation that has no voice sessions; return it, and whether it had ended before at the same time.

    Raises ScopeMissing, ConversationNotFound, ConversationHasSessions, ConversationEnded if it ended at another time,
    and PreconditionFailed.
    """
    owner = principal.owner(Scope.CONVERSATIONS_WRITE)
    async with database.writing() as session:
        found = await _locked(session, conversation_id, owner)
        conversations = ConversationDAO(session)
        if await conversations.has_sessions(conversation_id):
            raise ConversationHasSessions(conversation_id)
        if found.ended_at is not None:
            if facts.ended_at not in (None, found.ended_at):
                raise ConversationEnded(conversation_id)
            return found, True
        if precondition:
            precondition(found)
        ended = ConversationResponse.model_validate(await conversations.end(conversation_id, facts.ended_at))
        assert ended.ended_at is not None  # noqa: S101 -- it has just been set
        details = ended.model_dump(include={"ended_at", "duration_seconds", "message_count"})
        no_session = {"voice_session_id": None, "end_reason": None, "receipt": None}
        ending = Announcement.CONVERSATION_ENDED
        await announce(database, session, ending, conversation_id, at=ended.ended_at, data=details | no_session)
    database.wakeups.wake([conversation_id])
    return ended, False


async def _locked(session: Session, conversation_id: UUID, owner: str | None) -> ConversationResponse:
    """Lock a conversation until this transaction ends, and return it; raises ConversationNotFound."""
    found = await ConversationDAO(session).get_for_update(conversation_id, owner)
    if found is None:
        raise ConversationNotFound(conversation_id)
    return ConversationResponse.model_validate(found)


async def erase(
    database: Database, principal: Principal, conversation_id: UUID, precondition: Precondition | None = None
) -> int:
    """Erase a conversation with all its messages, and return how many messages it had.

    A row of `erasures` stays, so that messages of the conversation that arrive later are refused with
    ConversationErased. Raises ScopeMissing, ConversationNotFound, PreconditionFailed, OnHold, and HostKeepsConversation
    if a table of the host refers to it.
    """
    owner = principal.owner(Scope.CONVERSATIONS_ERASE)
    async with database.writing() as session:
        if precondition:
            precondition(await _locked(session, conversation_id, owner))
        count = await erase_in(database, session, principal, conversation_id, owner)
    database.wakeups.wake([conversation_id])
    return count


async def erase_in(
    database: Database, session: Session, principal: Principal, conversation_id: UUID, owner: str | None
) -> int:
    """Erase a conversation of ``owner`` in the transaction ``session``, and return how many messages it had.

    The caller wakes its followers after the commit. Raises ConversationNotFound, OnHold and HostKeepsConversation.
    """
    conversation = ConversationDAO(session)
    erased = await conversation.lock_to_erase(conversation_id, owner)
    if erased is None:
        raise ConversationNotFound(conversation_id)
    if await HoldDAO(session).active(conversation_id):
        raise OnHold(conversation_id)
    await conversation.erase(conversation_id, erased.message_count)
    erased_at = await ErasureDAO(session).add(conversation_id, erased.owner, erased.message_count)
    details = {"messages": erased.message_count}
    await audit.note(session, principal, AuditAction.CONVERSATION_ERASED, conversation_id, details=details)
    told = {"erased_at": erased_at, "message_count": erased.message_count}
    await announce(database, session, Announcement.CONVERSATION_ERASED, conversation_id, at=erased_at, data=told)
    return erased.message_count


async def of_subject(database: Database, subject: str) -> Sequence[UUID]:
    """Return the ids of all conversations that belong to ``subject``, oldest first."""
    async with database.reading() as session:
        return await ConversationDAO(session).ids_of(subject)
