"""The table of the audit, to which PostgreSQL lets rows be added only."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import BigInteger, DateTime, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.dao_service.models.base import NUMBER, Base


class AuditEntry(Base):
    """One row of ``audit_entries``: what ``actor`` did. It holds nothing that was said, and no subject of a person.

    ``number`` is the order of the entries, in nanoseconds since 1970, and rises within a conversation.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("idx_audit_entries_number", "number", "id"),
        Index("idx_audit_entries_action", "action", "number"),
        Index(
            "idx_audit_entries_conversation",
            "conversation_id",
            "number",
            postgresql_where=text("conversation_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(SQL_UUID, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, server_default=text(NUMBER))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))
    action: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    conversation_id: Mapped[UUID | None] = mapped_column(SQL_UUID)
    message_id: Mapped[UUID | None] = mapped_column(SQL_UUID)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
