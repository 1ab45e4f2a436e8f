"""The table of holds: conversations that must be kept as they are, for example while a court may ask for them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import BigInteger, DateTime, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.dao_service.models.base import NUMBER, Base


class Hold(Base):
    """One row of ``conversation_holds``, which is never removed; NULL in ``released_at`` means that it holds.

    ``number`` is the order of the holds, in nanoseconds since 1970.
    """

    __tablename__ = "conversation_holds"
    __table_args__ = (
        Index(
            "idx_conversation_holds_active",
            "conversation_id",
            unique=True,
            postgresql_where=text("released_at IS NULL"),
        ),
        Index("idx_conversation_holds_conversation", "conversation_id", "number"),
        Index("idx_conversation_holds_number", "number", "id"),
    )

    id: Mapped[UUID] = mapped_column(SQL_UUID, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, server_default=text(NUMBER))
    conversation_id: Mapped[UUID] = mapped_column(SQL_UUID)
    reason: Mapped[str] = mapped_column(Text)
    held_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))
    held_by: Mapped[str] = mapped_column(Text)
    released_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    released_by: Mapped[str | None] = mapped_column(Text)
