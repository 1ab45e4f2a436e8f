"""The table of tokens for services such as the orchestrator or a voice pipeline. It stores only a token's hash."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from backend.dao_service.models.base import Base


class ServiceToken(Base):
    """One row of ``service_tokens``. ``digest`` is the SHA-256 of the token."""

    __tablename__ = "service_tokens"
    __table_args__ = (CheckConstraint("octet_length(digest) = 32", name="digest"), UniqueConstraint("digest"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    service: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
