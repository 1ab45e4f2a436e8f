"""A checker that cannot fail proves nothing: each violation, doctored into journals or rows, is found."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.answers import results
from tests.chaos.checker import Cell, Row, Verdict, check, check_logs, check_stops
from tests.chaos.journal import read

MOMENT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
CONVERSATION = "c"


@dataclass
class Run:
    """Three messages of one client's, the last two in one request, and a reader who saw all of them."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=lambda: {CONVERSATION: 3})

    def check(self) -> Verdict:
        return check([self.lines], {"pages": self.seen}, self.rows, self.counters)

    def answer(self, request: int) -> dict[str, Any]:
        return next(line for line in self.lines if line["what"] == "answer" and line["request"] == request)


def _message(number: int) -> dict[str, Any]:
    content = f"This is sentence {number}."
    return {"id": f"m{number}", "conversation_id": CONVERSATION, "role": "user", "content": content}


def _answer(number: int, status: int = 201) -> dict[str, Any]:
    return {"status": status, "message": _message(number) | {"sequence": number, "created_at": f"at {number}"}}


def _request(request: int, numbers: list[int], kind: str = "new", status: int = 201) -> list[dict[str, Any]]:
    sent = {"what": "send", "request": request, "kind": kind, "messages": [_message(number) for number in numbers]}
    heard = [_answer(number, status) for number in numbers]
    return [sent, {"what": "answer", "request": request, "http": status, "results": heard}]


@pytest.fixture
def run() -> Run:
    lines = [*_request(1, [1]), *_request(2, [2, 3]), *_request(3, [1], "again", 200), *_request(4, [2], "changed")]
    lines[-2]["messages"][0]["content"] = "Something else."
    lines[-1]["results"] = [{"status": 409}]
    seen: list[dict[str, Any]] = [
        {"what": "plan", "conversations": [CONVERSATION]},
        {"what": "read", "items": [[CONVERSATION, 1, "m1"], [CONVERSATION, 2, "m2"]]},
        {"what": "plan", "conversations": [CONVERSATION]},
        {"what": "read", "items": [[CONVERSATION, 3, "m3"]]},
    ]
    rows = [Row(f"m{n}", CONVERSATION, n, "user", f"This is sentence {n}.", "voice", {}, MOMENT) for n in range(1, 4)]
    return Run(lines, seen, rows)


def test_a_run_as_it_should_be_is_clean(run: Run) -> None:
    verdict = run.check()
    assert verdict.clean, verdict.examples
    assert verdict.acknowledged == {"m1", "m2", "m3"}


def test_what_a_hostile_client_sends_once_need_not_be_answered(run: Run) -> None:
    run.lines += _request(9, [9], "greedy")[:1]
    assert run.check().clean


def _lose(run: Run) -> None:
    del run.rows[2]
    run.counters[CONVERSATION] = 2
    del run.seen[-1]


def _look_in_vain(run: Run) -> None:
    run.lines.append({"what": "looked", "id": "m1", "status": 200, "found": ["m2"]})


def _double_an_id(run: Run) -> None:
    run.rows.append(run.rows[0]._replace(content="Another.", sequence=4))
    run.counters[CONVERSATION] = 4


def _double_what_was_said(run: Run) -> None:
    run.rows.append(run.rows[0]._replace(id="m4", sequence=4))
    run.counters[CONVERSATION] = 4


def _double_a_place(run: Run) -> None:
    run.rows[2] = run.rows[2]._replace(sequence=2)


def _invent(run: Run) -> None:
    run.rows.append(run.rows[0]._replace(id="m4", sequence=4, content="Nobody said so."))
    run.counters[CONVERSATION] = 4


def _change(run: Run) -> None:
    run.rows[1] = run.rows[1]._replace(content="This was sentence 2.")


def _change_metadata(run: Run) -> None:
    run.rows[1] = run.rows[1]._replace(metadata={"sure": 0.5})


def _change_the_answer(run: Run) -> None:
    run.answer(1)["results"][0]["message"]["content"] = "This was sentence 1."


def _answer_another_place(run: Run) -> None:
    run.answer(3)["results"][0]["message"]["sequence"] = 3


def _answer_another_time(run: Run) -> None:
    run.answer(3)["results"][0]["message"]["created_at"] = "at another"


def _answer_as_new_again(run: Run) -> None:
    run.answer(3)["results"][0]["status"] = 201


def _miss_in_a_receipt(run: Run) -> None:
    said = {"complete": False, "missing": [[2, 2]]}
    run.lines.append({"what": "asked", "path": "end", "http": 200, "odd": False, "said": said})


def _refuse_to_end(run: Run) -> None:
    run.lines.append({"what": "asked", "path": "end", "http": 404, "odd": False, "said": {}})


def _lose_what_was_heard(run: Run) -> None:
    heard = {"conversation_id": CONVERSATION, "role": "user", "content": "On the telephone.", "client_sequence": 1}
    message = heard | {"id": "m9", "voice_session_id": "vs_1", "sequence": 4, "created_at": "at 4"}
    run.lines.append({"what": "send", "request": 9, "kind": "new", "messages": [heard]})
    results = [{"status": 201, "message": message}]
    run.lines.append({"what": "answer", "request": 9, "http": 200, "results": results})


def _lose_what_a_hostile_client_heard(run: Run) -> None:
    run.lines += _request(9, [9], "greedy")


def _leave_a_hole(run: Run) -> None:
    run.rows[2] = run.rows[2]._replace(sequence=4)
    run.counters[CONVERSATION] = 4


def _count_wrongly(run: Run) -> None:
    run.counters[CONVERSATION] = 2


def _exchange(run: Run) -> None:
    run.rows[:2] = [run.rows[0]._replace(sequence=2), run.rows[1]._replace(sequence=1)]
    run.answer(1)["results"][0]["message"]["sequence"] = 2
    run.answer(2)["results"][0]["message"]["sequence"] = 1


def _exchange_in_a_batch(run: Run) -> None:
    run.rows[1:] = [run.rows[1]._replace(sequence=3), run.rows[2]._replace(sequence=2)]
    for result, place in zip(run.answer(2)["results"], (3, 2), strict=True):
        result["message"]["sequence"] = place


def _accept_a_change(run: Run) -> None:
    run.answer(4)["results"] = [_answer(2, 200)]


def _refuse(run: Run) -> None:
    run.answer(3)["results"] = [{"status": 409}]


def _refuse_a_change_wrongly(run: Run) -> None:
    run.answer(4)["results"] = [{"status": 404}]


def _never_answer(run: Run) -> None:
    run.lines.remove(run.answer(3))


def _answer_only_busy(run: Run) -> None:
    run.answer(3)["results"] = [{"status": 503}]


def _skip(run: Run) -> None:
    del run.seen[1]["items"][1]


def _end_early(run: Run) -> None:
    del run.seen[3]


def _see_nothing(run: Run) -> None:
    del run.seen[1], run.seen[2]


def _see_twice(run: Run) -> None:
    run.seen.append(run.seen[1])


def _see_another(run: Run) -> None:
    run.seen[1]["items"][1][2] = "m9"


def _answer_oddly(run: Run) -> None:
    run.answer(1)["results"][0] |= {"odd": "not JSON but text/plain"}


def _refuse_a_reader_oddly(run: Run) -> None:
    run.seen.append({"what": "refused", "status": 500, "odd": True})


def _answer_with_a_fault(run: Run) -> None:
    run.answer(1)["results"][0] = {"status": 500}


def _refuse_a_reader_with_a_fault(run: Run) -> None:
    run.seen.append({"what": "refused", "status": 500, "odd": False})


@pytest.mark.parametrize(
    ("doctor", "cell"),
    [
        (_lose, Cell.ABSENT),
        (_look_in_vain, Cell.UNREAD),
        (_double_an_id, Cell.TWICE),
        (_double_what_was_said, Cell.TWICE),
        (_double_a_place, Cell.TWICE),
        (_invent, Cell.UNASKED),
        (_change, Cell.CHANGED),
        (_change_metadata, Cell.CHANGED),
        (_change_the_answer, Cell.CHANGED),
        (_answer_another_place, Cell.MOVED),
        (_answer_another_time, Cell.MOVED),
        (_answer_as_new_again, Cell.ANEW),
        (_miss_in_a_receipt, Cell.RECEIPT),
        (_refuse_to_end, Cell.REFUSED),
        (_lose_what_was_heard, Cell.ABSENT),
        (_lose_what_a_hostile_client_heard, Cell.ABSENT),
        (_leave_a_hole, Cell.HOLES),
        (_count_wrongly, Cell.HOLES),
        (_exchange, Cell.DISORDER),
        (_exchange_in_a_batch, Cell.DISORDER),
        (_accept_a_change, Cell.ACCEPTED),
        (_refuse, Cell.REFUSED),
        (_refuse_a_change_wrongly, Cell.REFUSED),
        (_never_answer, Cell.UNANSWERED),
        (_answer_only_busy, Cell.UNANSWERED),
        (_skip, Cell.SKIPPED),
        (_end_early, Cell.SKIPPED),
        (_see_nothing, Cell.SKIPPED),
        (_see_twice, Cell.REPEATED),
        (_see_another, Cell.MISREAD),
        (_answer_oddly, Cell.ODD),
        (_refuse_a_reader_oddly, Cell.ODD),
        (_answer_with_a_fault, Cell.FAULT),
        (_refuse_a_reader_with_a_fault, Cell.FAULT),
    ],
)
def test_what_is_wrong_is_found(run: Run, doctor: Callable[[Run], None], cell: Cell) -> None:
    doctor(doctored := deepcopy(run))
    assert doctored.check().counts[cell] > 0


def test_what_was_said_is_found_in_a_log(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text("started\nrefused: Remind me\n")
    check_logs(verdict := Verdict(), [log], "Remind")
    assert verdict.counts == {Cell.LEAKED: 1}


def test_a_service_that_does_not_stop_is_found() -> None:
    check_stops(verdict := Verdict(), [3.0, 21.0], 20.0)
    assert verdict.counts == {Cell.LATE: 1}


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<html>"),
        (200, "application/json", b'{"results": []}'),
        (201, "application/json", b"{}"),
        (201, "application/json", b"[]"),
        (503, "text/plain", b"upstream"),
        (503, "application/json", b'{"type": "/problems/busy", "title": "Busy", "status": 503}'),
        (503, "application/problem+json", b'{"type": "/problems/busy", "title": "Busy", "status": 500}'),
        (200, "application/json", b'{"results": [{"status": 201}]}'),
        (200, "application/json", b'{"results": [{"status": 503, "problem": {}}]}'),
    ],
)
def test_an_answer_of_no_known_form_is_odd(status: int, kind: str, body: bytes) -> None:
    assert "odd" in results(httpx.Response(status, headers={"content-type": kind}, content=body), 1)[0]


def test_an_answer_of_a_known_form_is_not() -> None:
    problem = {"type": "/problems/busy", "title": "Busy", "status": 503}
    busy = httpx.Response(503, headers={"content-type": "application/problem+json"}, json=problem)
    assert results(busy, 2) == [{"status": 503}] * 2
    batch = {"results": [{"status": 200, "message": {"id": "m1"}}, {"status": 503, "problem": problem}]}
    assert results(httpx.Response(200, json=batch), 2) == [{"status": 200, "message": {"id": "m1"}}, {"status": 503}]


def test_a_line_that_death_cut_short_was_never_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"what": "send"}\n{"what": "answ')
    assert [line["what"] for line in read(path)] == ["send"]
