"""Which calls there are, and when: some of each kind that the console shows, and many ordinary ones.

People call mostly by day, in the time zone of Viet Nam, and less at weekends. Two evenings ago the provider of the
language model was slow for an hour, and that morning the orchestrator answered 410 for an hour.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import log
from random import Random
from typing import Final

from backend.demo_data.call import Call, Fate, Sender, Trouble, Wish
from backend.demo_data.calls import plan_call, random_of
from backend.errors import SettingsError

LEAST_CALLS: Final = 40
LEAST_DAYS: Final = 3
MOST_A_DAY: Final = 250  # calls; they take about a third of the day
LONG_CALL: Final = 5_000  # messages

_ZONE: Final = timedelta(hours=7)
# How many people call in each hour of their day, relative to the others.
_HOURS: Final = (1, 1, 0, 0, 0, 2, 6, 14, 22, 26, 24, 20, 14, 12, 16, 20, 22, 22, 18, 20, 22, 18, 9, 3)
_WEEKEND: Final = 0.55
_LANGUAGES: Final = {"vi": 55, "en": 15, "th": 8, "ja": 7, "zh": 5, "ko": 4, "ar": 3, "de": 3}
_SENDERS: Final = {Sender.PHONE: 76, Sender.PIPECAT: 10, Sender.LIVEKIT: 7, Sender.CHAT: 7}
_TROUBLES: Final = {
    Trouble.ABANDONED: 0.03,
    Trouble.MISSING: 0.025,
    Trouble.LATE: 0.02,
    Trouble.RESUMED: 0.04,
    Trouble.RECONNECTED: 0.03,
    Trouble.REPEATED: 0.02,
    Trouble.WARNED: 0.03,
    Trouble.TYPED: 0.03,
    Trouble.WORDLESS: 0.02,
    Trouble.FUNCTION_FAILED: 0.04,
}
_LANGUAGE_OF_TROUBLE: Final = {
    Trouble.SLOW: "en",
    Trouble.RESUMED: "th",
    Trouble.LATE: "ja",
    Trouble.FRUSTRATED: "de",
}
_SATURDAY: Final = 5
_TOPICS: Final = 2.3  # the median
_MOST_TOPICS: Final = 12
_TOLD_LATE: Final = 0.05  # of the deliveries
_TELLS: Final = 0.5  # of the ordinary calls: their intent is extracted
_SLOW: Final = 5.0  # times the model's latency, in the slow hour
_FAILS_WHEN_SLOW: Final = 0.3
_BETWEEN: Final = timedelta(seconds=5)
_TRIES: Final = 1_000
_TOO_MANY: Final = "There is not enough time for so many calls: choose fewer --calls, or more --days."

_Window = tuple[datetime, datetime]  # the end is exclusive


class Week:
    """The period of the demo data, from ``since`` to ``until``, and its special hours."""

    def __init__(self, until: datetime, days: int) -> None:
        self.until = until
        self.since = until - timedelta(days=days)
        today = until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.slow = (today - timedelta(days=2, hours=-12), today - timedelta(days=2, hours=-13))
        self.gone = (today - timedelta(days=2, hours=-2), today - timedelta(days=2, hours=-3))
        self.refusal = (self.gone[0], self.gone[0] + timedelta(minutes=10))
        self.yesterday = (today - timedelta(days=1, hours=-10), today - timedelta(days=1, hours=-11))
        self.before_yesterday = (self.since, today - timedelta(days=1))
        self.night = (today - timedelta(days=1, hours=8), today - timedelta(days=1, hours=7))
        self.first_hours = (self.since, self.since + timedelta(hours=8))
        self.of_trouble = {
            Trouble.SLOW: self.yesterday,
            Trouble.FAILED: self.slow,
            Trouble.ABANDONED: self.before_yesterday,
        }
        self.last_hour = (until - timedelta(minutes=75), until - timedelta(minutes=10))


def plan(seed: int, until: datetime, days: int, count: int, *, with_long_call: bool = False) -> list[Call]:
    """Return ``count`` calls of the ``days`` before ``until``, in their order; they do not overlap.

    ``with_long_call`` adds one of `LONG_CALL` messages. Raises SettingsError if there is no time for so many.
    """
    if count > days * MOST_A_DAY:
        raise SettingsError(_TOO_MANY)
    planner = _Planner(seed, Week(until, days))
    if with_long_call:
        planner.place(Wish("long", "vi", messages=LONG_CALL), planner.week.night)
    for wish, window in _special(planner.week):
        planner.place(wish, window)
    for number in range(count + with_long_call - len(planner.calls)):
        planner.place(_ordinary(number, planner.random), None)
    return sorted(planner.calls, key=lambda call: call.opened_at)


class _Planner:
    """Finds a time for each call at which there is no other."""

    def __init__(self, seed: int, week: Week) -> None:
        self.week = week
        self.random = random_of(seed, "week")
        self.calls: list[Call] = []
        self._seed = seed

    def place(self, wish: Wish, window: _Window | None) -> None:
        """Add a call, in ``window`` if that is given; raises SettingsError if there is no time for it."""
        for _ in range(_TRIES):
            opened_at = self._time(window)
            changed = _at_that_hour(wish, self.week, opened_at, random_of(self._seed, wish.name, "hour"))
            call = plan_call(changed, self._seed, opened_at, self.week.until)
            if call.over_at < self.week.until and not any(_overlap(call, each) for each in self.calls):
                self.calls.append(call)
                return
        raise SettingsError(_TOO_MANY)

    def _time(self, window: _Window | None) -> datetime:
        since, until = window or (self.week.since, self.week.until)
        while True:
            at = (since + (until - since) * self.random.random()).replace(microsecond=0)
            if window or self.random.random() < _share(at.astimezone(UTC) + _ZONE):
                return at


def _overlap(one: Call, other: Call) -> bool:
    return one.opened_at < other.over_at + _BETWEEN and other.opened_at < one.over_at + _BETWEEN


def _share(local: datetime) -> float:
    """Return how many people call at a time of theirs, from 0 to 1, the most."""
    return _HOURS[local.hour] / max(_HOURS) * (_WEEKEND if local.weekday() >= _SATURDAY else 1)


def _special(week: Week) -> Iterator[tuple[Wish, _Window | None]]:
    """Yield one wish for each kind of call that there must be, and when it must take place, if that matters."""
    yield Wish("longest", "vi", messages=500), None
    yield Wish("single", "vi", messages=1), None
    yield Wish("untold", "vi", topics=2, fate=Fate.FAILED), week.first_hours
    yield Wish("gone", "vi", fate=Fate.HELD), week.refusal
    yield Wish("gone too", "en", fate=Fate.HELD_BEHIND), (week.refusal[1] + timedelta(minutes=5), week.gone[1])
    yield Wish("waiting", "vi", fate=Fate.WAITING), week.last_hour
    yield Wish("told late", "ja", fate=Fate.DELIVERED_LATE), None
    for trouble in Trouble:
        language = _LANGUAGE_OF_TROUBLE.get(trouble, "vi")
        wish = Wish(trouble.value, language, topics=2, troubles=frozenset({trouble}), fate=Fate.DELIVERED)
        yield wish, week.of_trouble.get(trouble)
    for sender in (Sender.PIPECAT, Sender.LIVEKIT, Sender.CHAT):
        troubles = frozenset({Trouble.INTERRUPTED, Trouble.FUNCTION_FAILED} if sender is not Sender.CHAT else ())
        yield Wish(sender.value, "en", sender, topics=4, troubles=troubles, fate=Fate.DELIVERED), None
    for language in _LANGUAGES:
        yield Wish(language, language, topics=3, fate=Fate.DELIVERED), None


def _ordinary(number: int, random: Random) -> Wish:
    [language] = random.choices([*_LANGUAGES], [*_LANGUAGES.values()])
    [sender] = random.choices([*_SENDERS], [*_SENDERS.values()])
    troubles = [trouble for trouble, share in _TROUBLES.items() if random.random() < share]
    return Wish(
        f"call {number}",
        language,
        sender,
        topics=min(max(round(random.lognormvariate(log(_TOPICS), 0.6)), 1), _MOST_TOPICS),
        troubles=frozenset(troubles[:1] if sender is Sender.PHONE else ()),
        fate=Fate.DELIVERED if random.random() < _TELLS else None,
    )


def _at_that_hour(wish: Wish, week: Week, opened_at: datetime, random: Random) -> Wish:
    """Return the wish as the hour changes it."""
    troubles, is_slow, fate = wish.troubles, _within(week.slow, opened_at), wish.fate
    if is_slow and wish.sender is Sender.PHONE:
        troubles |= {Trouble.WARNED, Trouble.FAILED} if random.random() < _FAILS_WHEN_SLOW else {Trouble.WARNED}
    if opened_at >= week.before_yesterday[1]:
        troubles -= {Trouble.ABANDONED}  # for all that the service knows, it may still go on
    if fate is Fate.DELIVERED:
        fate = _fate(week, opened_at, random)
    return replace(wish, troubles=troubles, fate=fate, slowness=_SLOW if is_slow else 1.0)


def _fate(week: Week, opened_at: datetime, random: Random) -> Fate:
    if week.refusal[1] <= opened_at < week.gone[1]:
        return Fate.HELD_BEHIND
    if opened_at >= week.last_hour[0]:
        return Fate.WAITING
    return Fate.DELIVERED_LATE if random.random() < _TOLD_LATE else Fate.DELIVERED


def _within(window: _Window, moment: datetime) -> bool:
    return window[0] <= moment < window[1]
