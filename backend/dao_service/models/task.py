"""The host application's table of tasks. Verbatim reads only whether a task exists, and links to it."""

from backend.dao_service.models.base import Base
from backend.dao_service.models.mixins import UUIDMixin


class Task(UUIDMixin, Base):
    """One row of the host's ``tasks``; its other columns are not mapped."""

    __tablename__ = "tasks"
