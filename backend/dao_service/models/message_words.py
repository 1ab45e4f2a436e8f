"""The tables of full-text search: the words of messages, and how far the worker has filled each table of words."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, declared_attr, mapped_column

from backend.dao_service.models.base import Base


class _Words:
    """The columns of both tables of words.

    ``position`` is the message's position in the feed. Messages that are older than the feed have positions from 0
    downwards, the newest the highest.
    """

    __tablename__: str

    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(SQL_UUID)
    position: Mapped[int] = mapped_column(BigInteger)
    words: Mapped[str] = mapped_column(TSVECTOR)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Index, ...]:
        name = f"idx_{cls.__tablename__}"
        return (
            Index(name, "words", postgresql_using="gin", postgresql_with={"gin_pending_list_limit": "256"}),
            Index(f"{name}_position", "position"),
        )


class MessageWords(_Words, Base):
    """One row of ``message_words``: the words of a message, as search compares them."""

    __tablename__ = "message_words"


class MessageWordsB(_Words, Base):
    """One row of ``message_words_b``, in which a new folding is built while the other table serves searches."""

    __tablename__ = "message_words_b"


class SearchProgress(Base):
    """One row of ``search_progress``, about the table that ``words`` names; `search_index_dao` explains the columns."""

    __tablename__ = "search_progress"
    __table_args__ = (CheckConstraint("words IN ('message_words', 'message_words_b')", name="words"),)

    words: Mapped[str] = mapped_column(Text, primary_key=True)
    serving: Mapped[bool]
    folding: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    reached: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    stale_from: Mapped[int | None] = mapped_column(BigInteger)
    filled_to: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    old_created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("'infinity'"))
    old_conversation: Mapped[UUID] = mapped_column(
        SQL_UUID, server_default=text("'ffffffff-ffff-ffff-ffff-ffffffffffff'")
    )
    old_sequence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    old_position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    complete: Mapped[bool] = mapped_column(server_default=text("false"))
    retired_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
