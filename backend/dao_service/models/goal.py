"""The host application's table of goals. Verbatim reads only whether a goal exists, and links to it."""

from backend.dao_service.models.base import Base
from backend.dao_service.models.mixins import UUIDMixin


class Goal(UUIDMixin, Base):
    """One row of the host's ``goals``; its other columns are not mapped."""

    __tablename__ = "goals"
