"""When the lines of a dialogue are said: how fast people speak, how long they pause, and how soon answers come.

Pauses and latencies are log-normal: most are short, and a few are long.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import log
from random import Random
from typing import Final

from backend.demo_data.phrasebook import Line, LineKind

SPEED: Final = 15.0  # characters a second
SELDOM: Final = 0.07  # of the answers that the user's next line follows are interrupted
_BACKCHANNELS: Final = 0.04
_SILENCES: Final = 0.04  # of the user's lines
_LONG: Final = 25  # characters; a shorter text is not interrupted
_PROCESSING: Final = 0.03  # seconds that an answer takes besides its stages


@dataclass(frozen=True, slots=True)
class Latency:
    """The stages of an answer in seconds; ``total`` counts from the end of the user's speech."""

    stt: float
    llm: float
    tts: float
    total: float


@dataclass(slots=True)
class Turn:
    """One line as it was said, from ``began`` to ``ended``.

    ``heard`` is the fraction that the user heard before they interrupted, 1 if they did not. ``call`` numbers the
    function calls of a talk from 1.
    """

    line: Line
    began: datetime
    ended: datetime
    latency: Latency | None = None
    heard: float = 1.0
    is_backchannel: bool = False
    is_typed: bool = False
    call: int = 0

    @property
    def heard_text(self) -> str:
        """The text that was heard: up to the last whole word."""
        if self.heard >= 1:
            return self.line.text
        cut = self.line.text[: max(round(len(self.line.text) * self.heard), 1)]
        return cut.rpartition(" ")[0] or cut


@dataclass(frozen=True, slots=True)
class Pace:
    """How a talk goes.

    ``speed`` is how many characters people say in a second, and ``interrupted`` the part of the assistant's long texts
    that the user interrupts. ``slowness`` multiplies the model's latency. ``waits`` are seconds before the line of that
    number (from 0), besides the usual pause; for a line of the assistant they count as the model's latency.
    """

    speed: float = SPEED
    slowness: float = 1.0
    interrupted: float = SELDOM
    waits: Mapping[int, float] = field(default_factory=dict)


def talk(lines: Sequence[Line], random: Random, start: datetime, pace: Pace, backchannels: Sequence[str]) -> list[Turn]:
    """Return when each of ``lines`` is said in a call that begins at ``start``, by their beginnings.

    A user may also say one of ``backchannels`` during an answer.
    """
    speaker = _Speaker(random, start, pace)
    for number, line in enumerate(lines):
        follows = lines[number + 1].kind if number + 1 < len(lines) else None
        speaker.say(number, line, is_answered=follows is LineKind.USER)
        is_heard = line.kind is LineKind.ASSISTANT and speaker.turns[-1].heard == 1
        if number and backchannels and is_heard and random.random() < _BACKCHANNELS:
            speaker.murmur(random.choice(backchannels))
    return sorted(speaker.turns, key=lambda turn: turn.began)


class _Speaker:
    def __init__(self, random: Random, start: datetime, pace: Pace) -> None:
        self.turns: list[Turn] = []
        self._random = random
        self._pace = pace
        self._at = start + timedelta(seconds=_around(random, 0.8, 0.3))
        self._asked: datetime | None = None  # the end of the user's speech
        self._stages: Latency | None = None
        self._calls = 0

    def say(self, number: int, line: Line, *, is_answered: bool) -> None:
        """Add the turn of a line; ``is_answered`` tells whether the user's next line follows."""
        wait = self._pace.waits.get(number, 0.0)
        match line.kind:
            case LineKind.USER:
                self._ask(line, wait)
            case LineKind.ASSISTANT:
                self._answer(line, wait, is_answered=is_answered)
            case LineKind.CALL:
                self._stages = self._stages or self._draw(0)
                self._calls += 1
                self._function(line, self._stages.stt + self._stages.llm * 0.6)
            case LineKind.RESULT | LineKind.CANCELLED:
                self._function(line, wait + _around(self._random, 0.35, 0.7))

    def murmur(self, text: str) -> None:
        """Add a backchannel in the middle of the last turn."""
        last = self.turns[-1]
        at = last.began + (last.ended - last.began) * self._random.uniform(0.3, 0.7)
        line = Line(LineKind.USER, text)
        self.turns.append(Turn(line, at, at + timedelta(seconds=0.4), is_backchannel=True))

    def _ask(self, line: Line, wait: float) -> None:
        last = self.turns[-1] if self.turns else None
        pause = _around(self._random, 0.7, 0.5) + wait
        if self._random.random() < _SILENCES:
            pause += self._random.uniform(2.5, 9)
        if last and last.heard < 1:  # the user interrupts
            pause = -0.2
        self._add(line, pause)
        self._asked = self._at

    def _answer(self, line: Line, wait: float, *, is_answered: bool) -> None:
        drawn = self._stages or self._draw(wait)
        latency = None
        if self._asked is None:  # the greeting, or another text of the same answer
            self._add(line, 0.3 + wait)
        else:
            done = (self._at - self._asked).total_seconds()  # by function calls
            rest = drawn.llm * 0.6 + drawn.tts if done else drawn.total
            total = done + rest
            latency = Latency(drawn.stt, total - drawn.stt - drawn.tts - _PROCESSING, drawn.tts, total)
            self._add(line, rest)
        turn = self.turns[-1]
        turn.latency = latency
        self._asked = self._stages = None
        if is_answered and len(line.text) > _LONG and self._random.random() < self._pace.interrupted:
            turn.heard = self._random.uniform(0.3, 0.8)
            turn.ended = self._at = turn.began + (turn.ended - turn.began) * turn.heard

    def _function(self, line: Line, after: float) -> None:
        self._at += timedelta(seconds=after)
        self.turns.append(Turn(line, self._at, self._at, call=self._calls))

    def _add(self, line: Line, pause: float) -> None:
        began = self._at + timedelta(seconds=pause)
        length = (0.3 + len(line.text) / self._pace.speed) * self._random.uniform(0.85, 1.2)
        self._at = began + timedelta(seconds=length)
        self.turns.append(Turn(line, began, self._at))

    def _draw(self, wait: float) -> Latency:
        stt = _around(self._random, 0.18, 0.25)
        llm = min(_around(self._random, 0.55, 0.4) * self._pace.slowness, 9) + wait
        tts = _around(self._random, 0.19, 0.3)
        return Latency(stt, llm, tts, stt + llm + tts + _PROCESSING)


def _around(random: Random, median: float, sigma: float) -> float:
    """Return a log-normal number."""
    return random.lognormvariate(log(median), sigma)


def longest_pause(turns: Sequence[Turn]) -> tuple[Turn, Turn]:
    """Return the turns before and after the longest pause; raises ValueError if there is none."""
    return max(
        ((before, after) for before, after in pairwise(turns) if after.began > before.ended),
        key=lambda pair: pair[1].began - pair[0].ended,
    )
