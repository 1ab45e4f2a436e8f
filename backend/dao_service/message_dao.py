"""Reading messages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from sqlalchemy import Text, func, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from backend.dao_service.models import Message


class MessageRow(NamedTuple):
    """A stored message as its readers get it: ids as text, ``metadata`` as JSON text."""

    id: str
    conversation_id: str
    sequence: int
    role: str
    content: str
    input_modality: str
    metadata: str
    timestamp: datetime
    created_at: datetime
    voice_session_id: str | None
    client_sequence: int | None


# Text where text is wanted in the end: the driver would build UUIDs and dictionaries only to have them taken apart.
_ROW: Final = (
    Message.id.cast(Text),
    Message.conversation_id.cast(Text),
    Message.sequence,
    Message.role,
    Message.content,
    Message.input_modality,
    func.coalesce(Message.metadata_.cast(Text), literal_column("'{}'")),
    Message.timestamp,
    Message.created_at,
    Message.voice_session_id,
    Message.client_sequence,
)


_RECORDED: Final = (Message.sequence,)
_SPOKEN: Final = (Message.timestamp, Message.sequence)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages of a conversation: at most ``limit``, of one role or all, with sequences within bounds."""

    conversation_id: UUID
    limit: int
    backward: bool = False
    role: str | None = None
    after_sequence: int | None = None
    up_to_sequence: int | None = None


class MessageDAO:
    """Questions about messages."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def recorded(self, wanted: Selection, after: int | None = None) -> Sequence[MessageRow]:
        """Messages in the order of recording, from just beyond the sequence ``after``."""
        return await self._page(wanted, _RECORDED, None if after is None else (after,))

    async def spoken(self, wanted: Selection, after: tuple[datetime, int] | None = None) -> Sequence[MessageRow]:
        """Messages in the order of speaking, from just beyond the time and sequence ``after``."""
        return await self._page(wanted, _SPOKEN, after)

    async def _page(
        self, wanted: Selection, key: tuple[InstrumentedAttribute[Any], ...], after: tuple[Any, ...] | None
    ) -> Sequence[MessageRow]:
        statement = select(*_ROW).where(Message.conversation_id == wanted.conversation_id).limit(wanted.limit)
        if wanted.role is not None:
            statement = statement.where(Message.role == wanted.role)
        if wanted.after_sequence is not None:
            statement = statement.where(Message.sequence > wanted.after_sequence)
        if wanted.up_to_sequence is not None:
            statement = statement.where(Message.sequence <= wanted.up_to_sequence)
        if after is not None:
            # One comparison of rows, which an index answers; spelled with OR it would be read from the beginning.
            here, there = tuple_(*key), tuple_(*after)
            statement = statement.where(here < there if wanted.backward else here > there)
        statement = statement.order_by(*(column.desc() if wanted.backward else column.asc() for column in key))
        return cast("Sequence[MessageRow]", (await self._session.execute(statement)).all())
