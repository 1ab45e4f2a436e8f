"""Reading and changing conversations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import delete, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.faults import constraint, missing_column
from backend.dao_service.models import Conversation, Message
from backend.errors import HostKeepsConversation, HostOwnsConversations

_STRIDE: Final = 20_000


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations are wanted; None means all."""

    context_type: str | None = None
    intent: str | None = None
    ended: bool | None = None
    linked_goal_id: UUID | None = None
    linked_task_id: UUID | None = None
    voice_session_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ConversationDAO:
    """Questions about conversations, and changes of them."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, conversation_id: UUID) -> Conversation | None:
        """Return the conversation, if there is one."""
        return await self._session.get(Conversation, conversation_id)

    async def last_sequence(self, conversation_id: UUID) -> int | None:
        """Return how far the conversation has come, or None if there is none."""
        return await self._session.scalar(select(Conversation.last_sequence).where(Conversation.id == conversation_id))

    async def add(self, conversation_id: UUID, context_type: str) -> Conversation | None:
        """Open a conversation and return it, or None if the id is taken.

        Raises HostOwnsConversations where the host's table has columns or rules that only the host can satisfy.
        """
        statement = (
            insert(Conversation)
            .values(id=conversation_id, context_type=context_type)
            .on_conflict_do_nothing(index_elements=[Conversation.id])
            .returning(Conversation)
        )
        try:
            return await self._session.scalar(statement)
        except IntegrityError as error:
            raise HostOwnsConversations(missing_column(error) or constraint(error)) from error

    async def newest(
        self, wanted: ConversationFilter, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[Conversation]:
        """Return at most ``limit`` conversations, newest first, from just behind ``before``."""
        statement = select(Conversation).order_by(Conversation.created_at.desc(), Conversation.id.desc()).limit(limit)
        for column, value in (
            (Conversation.context_type, wanted.context_type),
            (Conversation.extracted_intent, wanted.intent),
            (Conversation.linked_goal_id, wanted.linked_goal_id),
            (Conversation.linked_task_id, wanted.linked_task_id),
            (Conversation.voice_session_id, wanted.voice_session_id),
        ):
            if value is not None:
                statement = statement.where(column == value)
        if wanted.ended is not None:
            statement = statement.where(Conversation.ended_at.is_not(None) == wanted.ended)
        if wanted.since is not None:
            statement = statement.where(Conversation.created_at >= wanted.since)
        if wanted.until is not None:
            statement = statement.where(Conversation.created_at < wanted.until)
        if before is not None:
            statement = statement.where(tuple_(Conversation.created_at, Conversation.id) < tuple_(*before))
        return (await self._session.scalars(statement)).all()

    async def link(self, conversation_id: UUID, links: Mapping[str, UUID | None]) -> Conversation | None:
        """Set ``linked_goal_id`` or ``linked_task_id`` and return the conversation, or None if there is none."""
        return await self._session.scalar(
            update(Conversation)
            .where(Conversation.id == conversation_id)
            .values({**links, "updated_at": func.now()})
            .returning(Conversation)
        )

    async def erase(self, conversation_id: UUID) -> bool:
        """Delete the conversation and everything said in it; tell whether there was one.

        Raises HostKeepsConversation where a table of the host's refers to it.
        """
        last = await self._session.scalar(
            select(Conversation.last_sequence).where(Conversation.id == conversation_id).with_for_update()
        )
        if last is None:
            return False
        # No statement may take long; deleting a very long conversation at one stroke would.
        for sequence in range(_STRIDE, last, _STRIDE):
            await self._session.execute(
                delete(Message).where(Message.conversation_id == conversation_id, Message.sequence <= sequence)
            )
        try:
            await self._session.execute(delete(Conversation).where(Conversation.id == conversation_id))
        except IntegrityError as error:
            raise HostKeepsConversation(conversation_id, constraint(error)) from error
        return True
