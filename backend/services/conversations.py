"""Opening, listing, linking and erasing conversations."""

from uuid import UUID

from backend.dao_service.conversation_dao import ConversationDAO, ConversationFilter
from backend.dao_service.database import Database
from backend.dao_service.link_dao import LinkDAO
from backend.errors import ConversationIdReused, ConversationNotFound, LinkNotFound
from backend.ids import new_id
from backend.schemas.conversation import Conversation, ConversationCreate, ConversationPatch
from backend.schemas.page import ConversationPlace, ConversationQuery, Page


async def create(database: Database, wanted: ConversationCreate) -> tuple[Conversation, bool]:
    """Open a conversation, once, and tell whether it was open before.

    Raises ConversationIdReused when the id names another, HostOwnsConversations when only the host can make one.
    """
    conversation_id = wanted.id or new_id()
    async with database.writing() as session:
        conversations = ConversationDAO(session)
        added = await conversations.add(conversation_id, wanted.context_type)
        found = added or await conversations.get(conversation_id)
        if found is None or found.context_type != wanted.context_type:
            raise ConversationIdReused(conversation_id)
        answer = Conversation.model_validate(found)
    return answer, added is None


async def get(database: Database, conversation_id: UUID) -> Conversation:
    """Return a conversation; raises ConversationNotFound."""
    async with database.reading() as session:
        found = await ConversationDAO(session).get(conversation_id)
        if found is None:
            raise ConversationNotFound(conversation_id)
        return Conversation.model_validate(found)


async def newest(database: Database, query: ConversationQuery) -> Page[Conversation]:
    """Return a page of conversations, newest first; raises Invalid for a strange cursor."""
    place = ConversationPlace.parse(query.cursor) if query.cursor else None
    wanted = ConversationFilter(**query.model_dump(exclude={"limit", "cursor"}))
    async with database.reading() as session:
        rows = await ConversationDAO(session).newest(wanted, before=place, limit=query.limit + 1)
        shown = [Conversation.model_validate(row) for row in rows[: query.limit]]
    if shown:
        place = ConversationPlace(shown[-1].created_at, shown[-1].id)
    return Page(data=shown, next_cursor=place.cursor() if place else None, has_more=len(rows) > query.limit)


async def link(database: Database, conversation_id: UUID, patch: ConversationPatch) -> Conversation:
    """Link a conversation to a goal or a task; raises ConversationNotFound or LinkNotFound."""
    links = patch.model_dump(include=patch.model_fields_set)
    async with database.writing() as session:
        targets = LinkDAO(session)
        for field, target in links.items():
            if target is not None and not await targets.exists(field, target):
                raise LinkNotFound(field, target)
        linked = await ConversationDAO(session).link(conversation_id, links)
        if linked is None:
            raise ConversationNotFound(conversation_id)
        return Conversation.model_validate(linked)


async def erase(database: Database, conversation_id: UUID) -> None:
    """Erase a conversation and everything said in it; raises ConversationNotFound."""
    async with database.writing() as session:
        if not await ConversationDAO(session).erase(conversation_id):
            raise ConversationNotFound(conversation_id)
