"""The table of erased conversations: id, time of erasure and number of messages, without any content."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import BigInteger, DateTime, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.dao_service.models.base import Base


class Erasure(Base):
    """One row of ``erasures``.

    ``owner_digest`` is the SHA-256 of the conversation's id and its owner, NULL if it had no owner. With it the service
    answers 410 to the owner's phone, and 404 to every other caller.
    """

    __tablename__ = "erasures"

    conversation_id: Mapped[UUID] = mapped_column(SQL_UUID, primary_key=True)
    owner_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    message_count: Mapped[int] = mapped_column(BigInteger)
    erased_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
