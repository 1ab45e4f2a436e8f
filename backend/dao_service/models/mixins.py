"""Columns that several tables share."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import ColumnElement, DateTime, TypeDecorator, case, func, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

EARLIEST_READABLE: Final[ColumnElement[datetime]] = literal_column("timestamptz '0001-01-02 00:00:00+00'")
LATEST_READABLE: Final[ColumnElement[datetime]] = literal_column("timestamptz '9999-12-30 00:00:00+00'")


class ReadableTime(TypeDecorator[datetime]):
    """A time that Python can hold, whatever the host has stored: outside the years 1 to 9999 it is read as their edge.

    The driver fails a whole result for one such value.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[datetime]:
        """Wrap the column wherever it is read."""
        # LEAST and GREATEST pass over NULL, which must stay what it is.
        return case((column.is_not(None), func.least(func.greatest(column, EARLIEST_READABLE), LATEST_READABLE)))


class UUIDMixin:
    """An identity that the client may choose; the database makes one only for strangers who name none."""

    id: Mapped[UUID] = mapped_column(SQL_UUID, primary_key=True, server_default=text("gen_random_uuid()"))


class TimestampMixin:
    """When the row was made, by the database's clock."""

    created_at: Mapped[datetime] = mapped_column(ReadableTime, server_default=text("now()"))
