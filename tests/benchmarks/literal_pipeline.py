"""What one writes first inside a pipeline: a task for each message, an ORM session and a commit in it."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import Text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Message(Base):
    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default="gen_random_uuid()")
    conversation_id: Mapped[UUID]
    role: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Text)


class Literal:
    """Saves each message in a task of its own, and lets it go; as tutorials do, but for keeping the tasks alive."""

    def __init__(self, url: str, conversation: UUID) -> None:
        self._engine = create_async_engine(url)
        self._session = async_sessionmaker(self._engine)
        self._conversation = conversation
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.drain()
        await self._engine.dispose()

    def record(self, words: str) -> None:
        task = asyncio.create_task(self._save(words))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until every task has ended, one way or the other."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _save(self, words: str) -> None:
        with suppress(Exception):  # which asyncio would print, and nobody read
            await self._insert(words)

    async def _insert(self, words: str) -> None:
        session: AsyncSession
        async with self._session() as session:
            session.add(Message(conversation_id=self._conversation, role="user", content=words))
            await session.commit()
