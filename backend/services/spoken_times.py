"""The times of a phone's messages: those of its clock, corrected where they contradict its sequence numbers.

Messages are read in the order of their times. A phone's clock may stand still, or be set back during a call, and two
events in one millisecond are common. But the phone numbers its events in the order in which it receives them
(`client_sequence`). So a time that does not lie between those of the messages with the neighbouring numbers is moved
between them: after the message before, by one microsecond for each number, which leaves room for messages that arrive
late.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from backend.dao_service.voice_arrival_dao import Neighbours, NumberedMessage

# A correction below this is not marked in the message, because phones' clocks have a resolution of one millisecond.
UNNOTICED: Final = timedelta(milliseconds=1)
_TICK: Final = timedelta(microseconds=1)


def spoken_times(
    phone_times: Mapping[int, datetime | None], around: Mapping[int, Neighbours], now: datetime
) -> dict[int, datetime | None]:
    """Return the time of each message by its `client_sequence`; None stands for the time of recording.

    ``phone_times`` are those of the phone's clock, None where it sent none. ``around`` has the messages on record with
    the neighbouring numbers.
    """
    times: dict[int, datetime | None] = {}
    clock = [NumberedMessage(number, at) for number, at in sorted(phone_times.items()) if at is not None]
    last: NumberedMessage | None = None
    for number in sorted(phone_times):
        before, after = around.get(number, Neighbours(None, None))
        before = max((each for each in (before, last) if each), default=None)
        at = phone_times[number]
        if at is None:
            later = next((each for each in clock if each.number > number), None)
            at, after = _estimate(before, after, later, now, is_new=last is not None and before == last)
        if at is not None:
            at = _between(number, at, before, after)
            last = NumberedMessage(number, at)
        times[number] = at
    return times


def _estimate(
    before: NumberedMessage | None,
    after: NumberedMessage | None,
    later: NumberedMessage | None,
    now: datetime,
    *,
    is_new: bool,
) -> tuple[datetime | None, NumberedMessage | None]:
    """Return the time of a message that came without one, and the message that it must precede.

    ``later`` is the next message of the same request that has a time. ``is_new`` tells that ``before`` is of this
    request, too: the database, which places a late message between those on record, does not see it yet.
    """
    if after and (is_new or (later and later.number < after.number and later.at >= after.at)):
        return after.at, after  # a later one whose time contradicts the record is moved before it, as this one
    if later and (after is None or later.number < after.number):
        return later.at, later if before is None or before.at < later.at else after
    # If the phone's clock is ahead, the time of recording would lie before that of the message before.
    return before.at if before and before.at > now else None, after


def is_moved(phone_time: datetime | None, at: datetime | None) -> bool:
    """Tell whether ``at`` differs from the phone's time by `UNNOTICED` or more, so that the message must say so."""
    return at is not None and (phone_time is None or abs(at - phone_time) >= UNNOTICED)


def _between(number: int, at: datetime, before: NumberedMessage | None, after: NumberedMessage | None) -> datetime:
    if before is not None and at <= before.at:
        at = before.at + (number - before.number) * _TICK
    if after is None or at < after.at:
        return at
    if before is None or before.at >= after.at:
        return after.at - (after.number - number) * _TICK
    ticks = (after.at - before.at) // _TICK * (number - before.number)
    # Rounded down, because it must stay before the message after it.
    return before.at + ticks // (after.number - before.number) * _TICK
