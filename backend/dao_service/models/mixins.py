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
    """A `timestamptz` of which a value outside the years 1 to 9999 is read as the nearest time that Python can hold.

    A host may store such values, and asyncpg fails the whole result for one of them.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[datetime]:
        """Return the expression that SQLAlchemy reads in place of ``column``."""
        # LEAST and GREATEST ignore NULL, so NULL needs its own branch.
        return case((column.is_not(None), func.least(func.greatest(column, EARLIEST_READABLE), LATEST_READABLE)))


class UUIDMixin:
    """A primary key that the service always sets; PostgreSQL generates it only for rows of other programs."""

    id: Mapped[UUID] = mapped_column(SQL_UUID, primary_key=True, server_default=text("gen_random_uuid()"))


class TimestampMixin:
    """The time at which the row was inserted, by PostgreSQL's clock."""

    created_at: Mapped[datetime] = mapped_column(ReadableTime, server_default=text("now()"))
