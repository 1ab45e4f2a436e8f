"""The outbox: the tables of deliveries to the orchestrator, and of endpoints that have answered 410 (Gone)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from backend.dao_service.models.base import NUMBER, Base


class Delivery(Base):
    """One row of ``deliveries``.

    It outlives its conversation, unless it holds an intent: a trigger on `conversations` removes those.
    ``number`` is the order of queueing, in nanoseconds since 1970, and rises within a conversation; deliveries of two
    conversations may share one. ``version`` is the version of what it tells of. ``body`` is the text that is signed and
    sent, the same in every attempt. While ``leased_until`` is set, an attempt is under way or its outcome is
    unknown. ``spent`` counts the attempts before an operator last had the delivery sent again.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'delivered', 'failed', 'held')", name="state"),
        Index("idx_deliveries_conversation", "conversation_id", "number"),
        Index("idx_deliveries_number", "number", "id"),
        Index("idx_deliveries_state", "state", "number"),
        Index("idx_deliveries_delivered", "delivered_at", postgresql_where=text("state = 'delivered'")),
        Index("idx_deliveries_due", "due_at", postgresql_where=text("state = 'pending'")),
    )

    id: Mapped[UUID] = mapped_column(SQL_UUID, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, server_default=text(NUMBER))
    conversation_id: Mapped[UUID] = mapped_column(SQL_UUID)
    type: Mapped[str] = mapped_column(Text)
    version: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    spent: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
    leased_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_attempt_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_status: Mapped[int | None] = mapped_column(Integer)
    last_error: Mapped[str | None] = mapped_column(Text)
    delivered_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class StoppedOrchestrator(Base):
    """One row of ``stopped_orchestrators``: an endpoint that answered 410.

    Its URL may hold a secret, so only the SHA-256 is stored.
    """

    __tablename__ = "stopped_orchestrators"

    url_digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    stopped_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
