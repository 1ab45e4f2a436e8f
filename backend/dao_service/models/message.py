"""The table of messages: each is one utterance, or one side (request or result) of a function call."""

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from backend.dao_service.models.base import Base
from backend.dao_service.models.mixins import TimestampMixin, UUIDMixin

if TYPE_CHECKING:
    from backend.dao_service.models.conversation import Conversation  # which imports this module


class Message(UUIDMixin, TimestampMixin, Base):
    """One row of ``messages``. ``created_at`` is when it was recorded, ``timestamp`` when it was said."""

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("role IN ('user', 'assistant', 'system', 'function')", name="role"),
        CheckConstraint("input_modality IN ('voice', 'text')", name="input_modality"),
        CheckConstraint("octet_length(content) <= 1048576", name="content_size"),
        CheckConstraint("jsonb_typeof(metadata) = 'object'", name="metadata_object"),
        CheckConstraint("octet_length(metadata::text) <= 65536", name="metadata_size"),
        CheckConstraint(
            "NOT jsonb_path_exists(metadata, '$.**{33 to last}') AND NOT jsonb_path_exists("
            """metadata, '$.** ? (@.type() == "number" && (@ > 1e308 || @ < -1e308))')""",
            name="metadata_readable",
        ),
        CheckConstraint(
            "created_at >= '0001-01-02 00:00:00+00' AND created_at < '9999-12-31 00:00:00+00' "
            "AND \"timestamp\" >= '0001-01-02 00:00:00+00' AND \"timestamp\" < '9999-12-31 00:00:00+00'",
            name="readable_times",
        ),
        CheckConstraint("sequence > 0", name="sequence"),
        UniqueConstraint("conversation_id", "sequence"),
        Index("idx_messages_conversation", "conversation_id", "created_at"),
        Index("idx_messages_time", "timestamp"),
        Index("idx_messages_spoken", "conversation_id", "timestamp", "sequence"),
        Index(
            "idx_messages_session",
            "conversation_id",
            "voice_session_id",
            "client_sequence",
            "sequence",
            postgresql_where=text("voice_session_id IS NOT NULL"),
        ),
        Index("idx_messages_feed", "feed_position", unique=True),
        Index(
            "idx_messages_before_feed",
            "conversation_id",
            "sequence",
            postgresql_where=text("feed_position IS NULL"),
        ),
    )

    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(Text)
    content: Mapped[str] = mapped_column(Text)
    input_modality: Mapped[str] = mapped_column(Text, server_default=text("'text'"))
    # SQLAlchemy reserves the attribute `metadata` on every declarative class.
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSONB, server_default=text("'{}'"))

    sequence: Mapped[int] = mapped_column(BigInteger)
    timestamp: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))
    voice_session_id: Mapped[str | None] = mapped_column(Text)
    client_sequence: Mapped[int | None] = mapped_column(Integer)
    feed_position: Mapped[int | None] = mapped_column(BigInteger)

    conversation: Mapped["Conversation"] = relationship(back_populates="message_list", lazy="raise")
