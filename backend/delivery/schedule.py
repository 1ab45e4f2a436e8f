"""The retry schedule of deliveries: ten attempts in about three days, as Standard Webhooks recommends."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

# The waits after the first attempt, after the second, and so on.
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
    """Return the wait after the failure of ``attempt``, which counts from 1; None if it was the last.

    The orchestrator's Retry-After, ``asked``, may lengthen the wait up to LONGEST, but not shorten it. The wait has a
    jitter of 10 %, so that deliveries which failed together are not retried together.
    """
    if attempt > len(schedule):
        return None
    wait = schedule[attempt - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311
    return max(wait, min(asked or wait, LONGEST))
