"""When what a phone counted was said: by its clock, as long as that agrees with its count.

Messages are read in the order of their times. A phone's clock may stand still, or be set back in the middle of a call,
and events of one millisecond are common; but a phone counts what it hears in the order in which it hears it. So a time
that does not lie between those of the neighbours in the count is moved there: behind the message before, by a
microsecond for each number of the count, so that there is room for what comes late.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from backend.dao_service.voice_time_dao import Neighbours, NumberedMessage

UNNOTICED: Final = timedelta(milliseconds=1)  # by which a time may be moved without a word: clocks tell milliseconds
_TICK: Final = timedelta(microseconds=1)


def spoken_times(
    told: Mapping[int, datetime | None], around: Mapping[int, Neighbours], now: datetime
) -> dict[int, datetime | None]:
    """Return for each number of the count when it was said; None is the record's own time.

    ``told`` is what the phone's clock said of each, and ``around`` what is on record next to them.
    """
    times: dict[int, datetime | None] = {}
    clock = [NumberedMessage(number, at) for number, at in sorted(told.items()) if at is not None]
    last: NumberedMessage | None = None
    for number in sorted(told):
        before, after = around.get(number, Neighbours(None, None))
        before = max((each for each in (before, last) if each), default=None)
        at = told[number]
        if at is None:
            later = next((each for each in clock if each.number > number), None)
            at, after = _untold(before, after, later, now)
        if at is not None:
            at = _between(number, at, before, after)
            last = NumberedMessage(number, at)
        times[number] = at
    return times


def _untold(
    before: NumberedMessage | None, after: NumberedMessage | None, later: NumberedMessage | None, now: datetime
) -> tuple[datetime | None, NumberedMessage | None]:
    """Return what to take for a time that was not told, and what it must lie before; ``later`` comes with it."""
    if later and (after is None or later.number < after.number):
        return later.at, later if before is None or before.at < later.at else after
    # The record's own time would lie before that of the message before, by a clock that was ahead.
    return before.at if before and before.at > now else None, after


def is_moved(told: datetime | None, at: datetime | None) -> bool:
    """Tell whether ``at`` is so far from what the phone's clock ``told`` that the message must say so."""
    return at is not None and (told is None or abs(at - told) >= UNNOTICED)


def _between(number: int, moment: datetime, before: NumberedMessage | None, after: NumberedMessage | None) -> datetime:
    if before is not None and moment <= before.at:
        moment = before.at + (number - before.number) * _TICK
    if after is None or moment < after.at:
        return moment
    if before is None or before.at >= after.at:
        return after.at - (after.number - number) * _TICK
    return before.at + (after.at - before.at) * ((number - before.number) / (after.number - before.number))
