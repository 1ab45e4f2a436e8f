"""Columns that several tables share."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import DateTime, text
from sqlalchemy.orm import Mapped, mapped_column


class UUIDMixin:
    """An identity that the client may choose; the database makes one only for strangers who name none."""

    id: Mapped[UUID] = mapped_column(SQL_UUID, primary_key=True, server_default=text("gen_random_uuid()"))


class TimestampMixin:
    """When the row was made, by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
