"""A task of the host application. We know that it exists, and link to it."""

from backend.dao_service.models.base import Base
from backend.dao_service.models.mixins import UUIDMixin


class Task(UUIDMixin, Base):
    """One row of the host's ``tasks``; its other columns are the host's own business."""

    __tablename__ = "tasks"
