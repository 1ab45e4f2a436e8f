"""A task of the host application. We know that it exists, and link to it."""

from backend.dao_service.models.base import Base
from backend.dao_service.models.mixins import TimestampMixin, UUIDMixin


class Task(UUIDMixin, TimestampMixin, Base):
    """One row of the host's ``tasks``; it may have more columns than these."""

    __tablename__ = "tasks"
