"""SQL on the host's goals and tasks, to which the orchestrator may link a conversation."""

from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import Goal, Task

_TARGETS: Final[dict[str, type[Goal | Task]]] = {"linked_goal_id": Goal, "linked_task_id": Task}


class LinkDAO:
    """The statements on goals and tasks, in the transaction of ``session``."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def exists(self, field: str, target: UUID) -> bool:
        """Return whether the row ``target`` exists in the table of ``field``, and lock it against deletion.

        ``field`` is `linked_goal_id` or `linked_task_id`. The lock (FOR KEY SHARE) lasts until the transaction ends.
        """
        model = _TARGETS[field]
        found = await self._session.scalar(
            select(model.id).where(model.id == target).with_for_update(read=True, key_share=True)
        )
        return found is not None
