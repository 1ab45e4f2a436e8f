"""Ending the voice sessions whose phones were not heard of for long, because nobody else will."""

import asyncio
import random
from datetime import timedelta
from typing import Final

import structlog

from backend.dao_service.database import Database
from backend.dao_service.faults import describe
from backend.services.voice_sessions import end_abandoned

_LONGEST_PAUSE: Final = 60.0  # seconds

log = structlog.get_logger(__name__)


class Abandonment:
    """Looks for abandoned sessions, in every process, again and again; whoever finds one first ends it."""

    def __init__(self, database: Database, silence: timedelta) -> None:
        self._database = database
        self._silence = silence
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look; from inside the event loop."""
        self._task = self._task or asyncio.create_task(self._run(), name="abandonment")

    async def close(self) -> None:
        """Look no more; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            pause = min(self._silence.total_seconds() / 4, _LONGEST_PAUSE)
            # Not all processes at the same moment.
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
            try:
                while ended := await end_abandoned(self._database, self._silence):
                    log.info("voice sessions were abandoned", count=ended)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the next look may go better
                log.warning("abandoned voice sessions not looked for", **describe(error))
