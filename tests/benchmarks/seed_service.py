"""The seed, taken literally: what an ordinary developer writes from its SQL in an afternoon, and nothing worse.

It runs as fast as that allows: uvloop and httptools, no access log, a pool with room for everybody, no echo. And it
has a database of its own, made by the seed's SQL alone, because on ours every plain INSERT would pay for the triggers
that give it its place in the sequence.
"""

import os
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import DateTime, ForeignKey, Index, Text, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=32)
Session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI(title="The seed, literally")


class Base(DeclarativeBase):
    pass


class Conversation(Base):
    __tablename__ = "conversations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    context_type: Mapped[str] = mapped_column(Text)


class Message(Base):
    __tablename__ = "messages"
    __table_args__ = (Index("idx_messages_conversation", "conversation_id", "created_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Text)
    input_modality: Mapped[str] = mapped_column(Text, server_default="text")
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class MessageCreate(BaseModel):
    id: UUID = Field(default_factory=uuid4)
    conversation_id: UUID
    role: Literal["user", "assistant", "system", "function"]
    content: str
    input_modality: Literal["voice", "text"] = "voice"
    metadata_: dict[str, Any] = Field(default_factory=dict, alias="metadata")


class MessageResponse(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    conversation_id: UUID
    role: str
    content: str
    input_modality: str
    metadata_: dict[str, Any] = Field(serialization_alias="metadata")
    created_at: datetime


async def get_session() -> AsyncIterator[AsyncSession]:
    async with Session() as session:
        yield session


OwnSession = Annotated[AsyncSession, Depends(get_session)]


@app.post("/voice/messages", status_code=201, response_model=MessageResponse)
async def create_message(body: MessageCreate, session: OwnSession) -> Message:
    message = Message(**body.model_dump())
    session.add(message)
    await session.commit()
    await session.refresh(message)
    return message


@app.get("/conversations/{conversation_id}/messages", response_model=list[MessageResponse])
async def list_messages(conversation_id: UUID, session: OwnSession, limit: int = 100) -> list[Message]:
    found = await session.scalars(
        select(Message).where(Message.conversation_id == conversation_id).order_by(Message.created_at).limit(limit)
    )
    return list(found)
