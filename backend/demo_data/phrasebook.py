"""The dialogues of the demo data: what people and the assistant say, in each language, in `dialogues/`.

A dialogue is an opening, some topics with a few words between them, and a closing. Names, days and places in a topic
are slots (`$day`), which are filled anew in each dialogue.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from random import Random
from string import Template
from typing import Final, NamedTuple

import orjson

from backend.schemas.fields import JsonObject
from backend.vocabulary import Intent

NO_ANSWER: Final = '{"error": "no answer within 5 s"}'  # the result of a function that fails
LANGUAGES: Final = ("vi", "en", "th", "ja", "zh", "ko", "ar", "de")


class LineKind(StrEnum):
    """The first letter of a line: who speaks, or which side of a function call it is."""

    USER = "U"
    ASSISTANT = "A"
    CALL = "F"
    RESULT = "R"
    CANCELLED = "X"  # in no dialogue; `calls` writes it


class Line(NamedTuple):
    """One message of a dialogue; ``text`` is JSON for either side of a call of ``function``."""

    kind: LineKind
    text: str
    function: str = ""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is said in a call, and the first intent of it, if there is one."""

    lines: Sequence[Line]
    intent: Intent | None = None
    payload: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Topic:
    """Some lines about one matter, and the intent that they express, with slots."""

    name: str
    lines: str
    intent: Intent | None = None
    payload: str = "{}"


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """The lines of one language."""

    language: str
    people: Sequence[str]
    openings: Sequence[Sequence[str]]
    between: Sequence[Sequence[str]]
    closings: Sequence[Sequence[str]]
    backchannels: Sequence[str]
    nudge: str
    slots: Mapping[str, Sequence[str]]
    topics: Sequence[Topic]

    @property
    def greeting(self) -> Line:
        """The first line of a call."""
        return _lines(self.openings[0], {})[0]

    @property
    def are_you_there(self) -> Line:
        """What the assistant says after a silence."""
        return _lines([self.nudge], {})[0]

    def dialogue(self, random: Random, topics: int, *, with_intent: bool = False) -> Dialogue:
        """Return a dialogue about ``topics`` matters; after the last topic of the language it begins anew."""
        lines = _lines(random.choice(self.openings), {})
        intent: Intent | None = None
        payload: JsonObject | None = None
        order = random.sample(self.topics, len(self.topics))
        if with_intent:
            order.sort(key=lambda topic: topic.intent is None)
        for number in range(topics):
            topic, filled = order[number % len(order)], self._filled(random)
            if number:
                lines += _lines(random.choice(self.between), {})
            lines += _lines(topic.lines.strip().splitlines(), filled)
            if intent is None and topic.intent:
                intent, payload = topic.intent, orjson.loads(Template(topic.payload).substitute(filled))
        return Dialogue([*lines, *_lines(random.choice(self.closings), {})], intent, payload)

    def long_dialogue(self, random: Random, messages: int) -> Dialogue:
        """Return a dialogue of as many ``messages``; it breaks off."""
        whole = self.dialogue(random, messages // 3)
        return Dialogue(whole.lines[:messages], whole.intent, whole.payload)

    def _filled(self, random: Random) -> dict[str, str]:
        return {name: random.choice(values) for name, values in self.slots.items()}


@cache
def phrasebook(language: str) -> Phrasebook:
    """Return the phrasebook of one of `LANGUAGES`."""
    read = tomllib.loads((files("backend.demo_data") / "dialogues" / f"{language}.toml").read_text("utf-8"))
    topics = [Topic(**{**topic, "intent": topic.get("intent") and Intent(topic["intent"])}) for topic in read["topics"]]
    return Phrasebook(**{**read, "language": language, "topics": topics})


def _lines(written: Sequence[str], filled: Mapping[str, str]) -> list[Line]:
    return [*_parsed(Template(line).substitute(filled) for line in written)]


def _parsed(lines: Iterator[str]) -> Iterator[Line]:
    function = ""
    for line in lines:
        kind, text = LineKind(line[0]), line[2:]
        if kind is LineKind.CALL:
            function, _, text = text.partition(" ")
        if kind in (LineKind.CALL, LineKind.RESULT):
            yield Line(kind, text, function)
        else:
            yield Line(kind, text[0].upper() + text[1:])
