"""The journals of clients and readers, held against the rows: a count for each way in which a promise can be broken."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

Line = Mapping[str, Any]
Message = Mapping[str, Any]


class Cell(StrEnum):
    """What must never happen."""

    ABSENT = "acknowledged and absent"
    UNREAD = "acknowledged and not found by a later look"
    TWICE = "present twice"
    UNASKED = "present though nobody sent it"
    CHANGED = "content changed"
    ANEW = "acknowledged as new more than once"
    MOVED = "acknowledged with another sequence than stored"
    HOLES = "holes in sequence"
    DISORDER = "out of the order in which its client heard of it"
    ACCEPTED = "changed replay accepted"
    REFUSED = "honest message refused"
    UNANSWERED = "never acknowledged, though all was healed"
    SKIPPED = "skipped by a reader"
    REPEATED = "repeated to a reader"
    MISREAD = "read at a place where something else is stored"
    RECEIPT = "receipt of a call that misses what was acknowledged"
    LEAKED = "said in a log"
    LATE = "service that took longer than its grace to stop"
    ODD = "answer that is neither success nor problem document"
    FAULT = "answer 500, a fault of the service"


class Row(NamedTuple):
    """A message as it is stored."""

    id: str
    conversation_id: str
    sequence: int
    role: str
    content: str
    input_modality: str
    metadata: Mapping[str, Any]
    timestamp: datetime
    voice_session_id: str | None = None
    client_sequence: int | None = None


@dataclass
class Verdict:
    """How often each thing happened, and some of the cases in words."""

    counts: Counter[Cell] = field(default_factory=Counter)
    examples: defaultdict[Cell, list[str]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: set[str] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)

    def count(self, status: int, case: str) -> None:
        """Count an answer by its ``status``."""
        self.statuses[str(status)] += 1
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.charge(Cell.FAULT, case)

    def charge(self, cell: Cell, case: object, times: int = 1) -> None:
        self.counts[cell] += times
        if times and len(self.examples[cell]) < 5:
            self.examples[cell].append(str(case))

    @property
    def clean(self) -> bool:
        return not self.counts.total()


def check(
    clients: Iterable[Iterable[Line]],
    readers: Mapping[str, Iterable[Line]],
    rows: Sequence[Row],
    counters: Mapping[str, int],
) -> Verdict:
    """Compare. ``counters`` is how many messages each conversation says that it has."""
    verdict = Verdict()
    stored = {row.id: row for row in rows} | {row.content: row for row in rows}
    _check_rows(verdict, rows, counters)
    said: dict[str, Message] = {}
    for number, lines in enumerate(clients):
        said |= _Witness(verdict, stored, number).hear(lines)
    for row in rows:
        message = said.get(row.id) or said.get(row.content)
        if message is None:
            verdict.charge(Cell.UNASKED, row.id)
        elif wrong := _differences(message, row):
            verdict.charge(Cell.CHANGED, f"{row.id}: {wrong}")
    for name, lines in readers.items():
        _check_reader(verdict, name, lines, rows)
    return verdict


def check_logs(verdict: Verdict, logs: Iterable[Path], mark: str) -> None:
    """Charge each line of ``logs`` that holds ``mark``, which is in everything that is said."""
    for log in logs:
        with log.open(errors="replace") as file:
            for number, line in enumerate(file, 1):
                verdict.charge(Cell.LEAKED, f"{log}:{number}", int(mark in line))


def check_stops(verdict: Verdict, stops: Iterable[float], grace: float) -> None:
    """Charge each service that took more than ``grace`` seconds to stop."""
    for seconds in stops:
        verdict.charge(Cell.LATE, f"{seconds:.1f} s", int(seconds > grace))


def _check_rows(verdict: Verdict, rows: Sequence[Row], counters: Mapping[str, int]) -> None:
    for what in (Counter(row.id for row in rows), Counter(row.content for row in rows)):
        for value, count in what.items():
            verdict.charge(Cell.TWICE, value, count - 1)
    places: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        places[row.conversation_id].append(row.sequence)
    for conversation in places.keys() | counters.keys():
        taken = sorted(places[conversation])
        holes = set(range(1, max(counters.get(conversation, 0), *taken, 0) + 1)) - set(taken)
        verdict.charge(Cell.HOLES, f"{conversation}: {sorted(holes)[:5]}", len(holes))
        doubled = len(taken) - len(set(taken))
        verdict.charge(Cell.TWICE, f"{conversation}: {doubled} places", doubled)
        if taken and taken[-1] > counters.get(conversation, 0):
            verdict.charge(Cell.HOLES, f"{conversation}: counts {counters.get(conversation)}, but has {taken[-1]}")


def _key(message: Message) -> str:
    """Return what a message is known by: its id, or its words, which are said only once, where the record gives one."""
    key: str = message.get("id") or message["content"]
    return key


def _differences(message: Message, row: Row) -> list[str]:
    unsaid: dict[str, Any] = {
        "input_modality": "voice",
        "metadata": {},
        "voice_session_id": None,
        "client_sequence": None,
    }
    expected = (unsaid if "id" in message else {}) | dict(message)
    found = row._asdict()
    if "timestamp" in expected:
        expected["timestamp"] = datetime.fromisoformat(expected["timestamp"])
    return [name for name, value in expected.items() if found[name] != value]


class _Witness:
    """One client's journal, read line by line, as it was lived."""

    def __init__(self, verdict: Verdict, stored: Mapping[str, Row], number: int) -> None:
        self._verdict = verdict
        self._stored = stored
        self._name = f"client {number}"
        self._said: dict[str, Message] = {}
        self._requests: dict[int, Line] = {}
        self._open: dict[int, str] = {}
        self._answers: dict[str, tuple[int, str]] = {}
        self._new: set[str] = set()
        self._reached: defaultdict[str, int] = defaultdict(int)
        self._floors: dict[str, int] = {}

    def hear(self, lines: Iterable[Line]) -> dict[str, Message]:
        """Charge what went wrong, and return what was honestly said, by id."""
        for line in lines:
            match line["what"]:
                case "send":
                    self._sent(line)
                case "answer":
                    self._answered(line)
                case "looked" if line["status"] == 200 and line["found"] != [line["id"]]:
                    self._verdict.charge(Cell.UNREAD, f"{self._name}: {line}")
                case "asked":
                    self._asked(line)
                case "lost":
                    self._verdict.statuses[line["error"]] += 1
        for request, kind in self._open.items():
            self._verdict.charge(Cell.UNANSWERED, f"{self._name}: request {request}, {kind}")
        return self._said

    def _sent(self, line: Line) -> None:
        self._requests[line["request"]] = line
        if line["kind"] != "greedy":  # which a hostile client sends once, whatever comes of it
            self._open[line["request"]] = line["kind"]
        if line["kind"] != "changed":
            for message in line["messages"]:
                self._said.setdefault(_key(message), message)
                self._floors.setdefault(_key(message), self._reached[message["conversation_id"]])

    def _asked(self, line: Line) -> None:
        self._verdict.count(line["http"], f"{self._name}: {line}")
        if line["odd"]:
            self._verdict.charge(Cell.ODD, f"{self._name}: {line}")
        elif 400 <= line["http"] < 500 and line["http"] not in _AGAIN:
            self._verdict.charge(Cell.REFUSED, f"{self._name}: {line}")
        elif line["said"].get("complete") is False:
            self._verdict.charge(Cell.RECEIPT, f"{self._name}: {line}")

    def _answered(self, line: Line) -> None:
        request = self._requests[line["request"]]
        if not any(result["status"] in _AGAIN for result in line["results"]):
            self._open.pop(line["request"], None)
        last: dict[str, int] = {}
        for message, result in zip(request["messages"], line["results"], strict=True):
            case = f"{self._name}, request {line['request']}, {request['kind']}, {_key(message)}: {result}"
            self._verdict.count(result["status"], case)
            if "odd" in result:
                self._verdict.charge(Cell.ODD, case)
            elif result["status"] in _AGAIN:
                continue
            elif request["kind"] == "changed":
                if result["status"] != 409:
                    self._verdict.charge(Cell.ACCEPTED if "message" in result else Cell.REFUSED, case)
            elif "message" not in result:
                self._verdict.charge(Cell.REFUSED, case)
            else:
                self._acknowledged(message, result["message"], case)
                if result["status"] == 201:
                    self._recorded_now(message, result["message"], last, case)

    def _recorded_now(self, message: Message, answered: Message, last: dict[str, int], case: str) -> None:
        """What one answer says was recorded now was so for the first time, and as it stood in the request."""
        if _key(message) in self._new:
            self._verdict.charge(Cell.ANEW, case)
        self._new.add(_key(message))
        conversation = answered["conversation_id"]
        if answered["sequence"] <= last.get(conversation, 0):
            self._verdict.charge(Cell.DISORDER, case)
        last[conversation] = answered["sequence"]

    def _acknowledged(self, message: Message, answered: Message, case: str) -> None:
        identity, place = _key(message), (answered["sequence"], answered["created_at"])
        self._verdict.acknowledged.add(identity)
        row = self._stored.get(identity)
        if row is None:
            self._verdict.charge(Cell.ABSENT, case)
        elif row.sequence != answered["sequence"] or self._answers.setdefault(identity, place) != place:
            self._verdict.charge(Cell.MOVED, case)
        if any(answered[name] != message[name] for name in _SHOWN & message.keys()):
            self._verdict.charge(Cell.CHANGED, case)
        if answered["sequence"] <= self._floors[identity]:
            self._verdict.charge(Cell.DISORDER, case)
        conversation = message["conversation_id"]
        self._reached[conversation] = max(self._reached[conversation], answered["sequence"])


_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_SHOWN: Final = {"id", "conversation_id", "role", "content", "voice_session_id", "client_sequence"}


def _check_reader(verdict: Verdict, name: str, lines: Iterable[Line], rows: Sequence[Row]) -> None:
    stored = {(row.conversation_id, row.sequence): row.id for row in rows}
    ends = Counter(row.conversation_id for row in rows)
    seen: defaultdict[str, int] = defaultdict(int)
    for line in lines:
        if line["what"] == "plan":  # also said by one that was killed, when it is there again
            seen = defaultdict(int, dict.fromkeys(line["conversations"], 0) | seen)
        if line["what"] == "refused":
            verdict.count(line["status"], f"{name}: {line}")
            if line["odd"]:
                verdict.charge(Cell.ODD, f"{name}: {line}")
        for conversation, sequence, identity in line.get("items", ()):
            case = f"{name}: {sequence} of {conversation} after {seen[conversation]}"
            if sequence <= seen[conversation]:
                verdict.charge(Cell.REPEATED, case)
            else:
                verdict.charge(Cell.SKIPPED, case, sequence - seen[conversation] - 1)
                seen[conversation] = sequence
            if stored.get((conversation, sequence)) != identity:
                verdict.charge(Cell.MISREAD, case)
    for conversation, last in seen.items():
        if last < ends[conversation]:
            verdict.charge(Cell.SKIPPED, f"{name}: {conversation} ended at {last}", ends[conversation] - last)
