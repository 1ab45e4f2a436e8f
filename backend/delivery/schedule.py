"""When an attempt that failed is made again, as Standard Webhooks proposes: ten in three days."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

# After the first attempt, after the second, and so on.
SCHEDULE: Final[Sequence[timedelta]] = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
LONGEST: Final = timedelta(hours=24)
_JITTER: Final = 0.1


def wait_after(attempt: int, schedule: Sequence[timedelta], asked: timedelta | None) -> timedelta | None:
    """Return how long to wait after the ``attempt``-th, the first being 1, has failed; None if it was the last.

    An orchestrator that is busy may have asked for more, never for less. What failed together comes back apart.
    """
    if attempt > len(schedule):
        return None
    wait = schedule[attempt - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
    return max(wait, min(asked or wait, LONGEST))
