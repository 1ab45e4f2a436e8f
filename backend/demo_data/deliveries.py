"""What became of the delivery of an intent, as the dispatcher would have stored it."""

from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

from backend.dao_service.demo_data_dao import PastDelivery
from backend.delivery.schedule import SCHEDULE
from backend.demo_data.call import Fate
from backend.vocabulary import DeliveryState

_TAKES: Final = timedelta(milliseconds=180)  # an attempt that the orchestrator answers
_ACCEPTED: Final = 204
_GONE: Final = 410
_BUSY: Final = 503


def past_delivery(fate: Fate, identity: UUID, queued_at: datetime, now: datetime, random: Random) -> PastDelivery:
    """Return the delivery of an intent that was queued at ``queued_at``, as it stands at ``now``."""
    attempts = _attempts(queued_at, random)
    made = [at for at in attempts if at < now] or attempts[:1]
    new = PastDelivery(identity, DeliveryState.PENDING, 0, queued_at, queued_at)
    match fate:
        case Fate.DELIVERED | Fate.DELIVERED_LATE:
            return _delivered(new, attempts[: random.choice((2, 3)) if fate is Fate.DELIVERED_LATE else 1])
        case Fate.HELD:
            return _tried(new, attempts[:1], DeliveryState.HELD, _GONE, f"The orchestrator answered {_GONE}.")
        case Fate.HELD_BEHIND:
            return new._replace(state=DeliveryState.HELD)
        case Fate.WAITING:
            tried = _tried(new, made, DeliveryState.PENDING, _BUSY, f"The orchestrator answered {_BUSY}.")
            return tried._replace(due_at=attempts[len(made)])
    return _tried(new, made, DeliveryState.FAILED, None, "The orchestrator did not answer within 10 s.")


def _attempts(queued_at: datetime, random: Random) -> list[datetime]:
    """Return when each attempt of the schedule begins."""
    times = [queued_at + timedelta(milliseconds=20)]
    for wait in SCHEDULE:
        times.append(times[-1] + wait * random.uniform(0.9, 1.1))
    return times


def _delivered(new: PastDelivery, attempts: list[datetime]) -> PastDelivery:
    at = attempts[-1] + _TAKES
    tried = _tried(new, attempts, DeliveryState.DELIVERED, _ACCEPTED, None)
    return tried._replace(due_at=at, delivered_at=at)


def _tried(
    new: PastDelivery, attempts: list[datetime], state: DeliveryState, status: int | None, error: str | None
) -> PastDelivery:
    return new._replace(
        state=state,
        attempts=len(attempts),
        due_at=attempts[-1] + _TAKES,
        last_attempt_at=attempts[-1],
        last_status=status,
        last_error=error,
    )
