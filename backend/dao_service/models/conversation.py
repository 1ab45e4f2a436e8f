"""The table `conversations`: the host application's columns, and the ones that Verbatim adds."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.dao_service.models.base import Base
from backend.dao_service.models.message import Message
from backend.dao_service.models.mixins import ReadableTime, TimestampMixin, UUIDMixin


def _filtered(name: str, column: str) -> Index:
    """Return a partial index for the list of conversations that is filtered by ``column``, in the list's order."""
    return Index(name, column, "created_at", "id", postgresql_where=text(f"{column} IS NOT NULL"))


class Conversation(UUIDMixin, TimestampMixin, Base):
    """One row of ``conversations``.

    The host's JSONB column ``messages`` belongs to another agent. It is not mapped, so that no query can read or write
    it by accident.
    """

    __tablename__ = "conversations"
    __table_args__ = (
        CheckConstraint(
            "context_type IN ('onboarding', 'goal', 'task', 'reschedule', 'voice')",
            name="context_type",
        ),
        Index("idx_conversations_newest", "created_at", "id"),
        Index("idx_conversations_owner", "user_id", "created_at", "id"),
        _filtered("idx_conversations_voice_session", "voice_session_id"),
        _filtered("idx_conversations_intent", "extracted_intent"),
        _filtered("idx_conversations_goal", "linked_goal_id"),
        _filtered("idx_conversations_task", "linked_task_id"),
        Index("idx_conversations_ended", "created_at", "id", postgresql_where=text("ended_at IS NOT NULL")),
        Index("idx_conversations_open", "created_at", "id", postgresql_where=text("ended_at IS NULL")),
    )

    user_id: Mapped[str | None] = mapped_column(Text)
    context_type: Mapped[str] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(ReadableTime, server_default=text("now()"))

    voice_session_id: Mapped[str | None] = mapped_column(Text)
    extracted_intent: Mapped[str | None] = mapped_column(Text)
    intent_payload: Mapped[Any | None] = mapped_column(JSONB)
    linked_goal_id: Mapped[UUID | None] = mapped_column(ForeignKey("goals.id"))
    linked_task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id"))
    ended_at: Mapped[datetime | None] = mapped_column(ReadableTime)
    duration_seconds: Mapped[int | None] = mapped_column(Integer)

    last_sequence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))

    message_list: Mapped[list[Message]] = relationship(
        back_populates="conversation",
        order_by=Message.sequence,
        lazy="raise",
        passive_deletes=True,
    )
