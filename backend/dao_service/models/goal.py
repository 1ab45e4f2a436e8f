"""A goal of the host application. We know that it exists, and link to it."""

from backend.dao_service.models.base import Base
from backend.dao_service.models.mixins import UUIDMixin


class Goal(UUIDMixin, Base):
    """One row of the host's ``goals``; its other columns are the host's own business."""

    __tablename__ = "goals"
