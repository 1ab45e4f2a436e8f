"""What is left of a conversation that was erased: that there was one, when it went, and how much was said in it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import BigInteger, DateTime, LargeBinary, text
from sqlalchemy.orm import Mapped, mapped_column

from backend.dao_service.models.base import Base


class Erasure(Base):
    """One row of ``erasures``.

    ``owner_digest`` is the SHA-256 of the conversation's id and its owner: enough to tell the owner's phone that it
    need not come again, and to tell nobody else anything. NULL where nobody owned it.
    """

    __tablename__ = "erasures"

    conversation_id: Mapped[UUID] = mapped_column(SQL_UUID, primary_key=True)
    owner_digest: Mapped[bytes | None] = mapped_column(LargeBinary)
    message_count: Mapped[int] = mapped_column(BigInteger)
    erased_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
