"""What a conversation may be linked to."""

from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import Goal, Task

_TARGETS: Final[dict[str, type[Goal | Task]]] = {"linked_goal_id": Goal, "linked_task_id": Task}


class LinkDAO:
    """Questions about the host's goals and tasks."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def exists(self, field: str, target: UUID) -> bool:
        """Tell whether ``field`` may point to ``target``, and keep that so until the transaction ends."""
        model = _TARGETS[field]
        found = await self._session.scalar(
            select(model.id).where(model.id == target).with_for_update(read=True, key_share=True)
        )
        return found is not None
