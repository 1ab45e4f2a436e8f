"""Events as no Deepgram ever sends them: sound ones that were cut, swapped, buried and blown up at any depth."""

import copy
import json
import time
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.deepgram import Event, drafts, read, session_of
from backend.deepgram.events import KNOWN
from backend.errors import Invalid
from backend.schemas.message import MessageCreate
from backend.schemas.parsing import parse
from tests.deepgram.examples import EXAMPLES

SLOWEST: Final = 3.0  # seconds of work for the largest event that the API takes; half a second on a quiet machine

# What parsers, databases and people stumble over.
_ODD: Final[list[Any]] = [
    None, True, False, 0, -0.0, 2**53, -(2**63), 10**400, 1e308, float("nan"), float("inf"), 5e-324,
    "", "\0", "\ud800", "\udfff\ud800", "\u202e", "a\u0300" * 200, "x" * 70_000, "ỏ" * 33_000, "__class__", "type",
    [], {}, [[]], {"": {}}, {"type": "ConversationText"}, ["ConversationText"], {"\0": "\0"}, {"\ud800": 1},
]  # fmt: skip


def _buried(value: Any, depth: int) -> Any:
    for level in range(depth):
        value = [value] if level % 2 else {"in": value}
    return value


_ODDITIES = st.builds(
    _buried, st.sampled_from(_ODD).map(copy.deepcopy), st.sampled_from([0, 0, 0, 1, 31, 32, 33, 149, 150, 151, 400])
)


@st.composite
def _mutants(draw: st.DrawFn) -> Any:
    """A sound event, changed in up to five places."""
    event: Any = copy.deepcopy(draw(st.sampled_from([*EXAMPLES.values()])))
    for _ in range(draw(st.integers(0, 5))):
        holder, key = draw(st.sampled_from(_places(event)))
        match draw(st.sampled_from(["replace", "remove", "add", "other", "retype", "double"])):
            case "replace":
                holder[key] = draw(_ODDITIES)
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(["new", "\0", "content", "functions", "role", ""]))] = draw(_ODDITIES)
            case "other":
                holder[key] = copy.deepcopy(draw(st.sampled_from([*EXAMPLES.values()])))
            case "retype":
                event["type"] = draw(st.sampled_from(sorted(KNOWN)) | _ODDITIES)
            case "double":
                holder[key] = [holder[key]] * draw(st.sampled_from([0, 2, 3]))
        if not event:
            break
    return event


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in ``value``, as what holds it and where."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, part in pairs:
        found.append((value, key))
        if len(found) < 50:
            found += _places(part)[:50]
    return found


def _outcome(item: Any) -> Event | Invalid:
    try:
        return read(item)
    except Invalid as refusal:
        return refusal


def _comparable(found: Event | Invalid) -> str:
    return repr(found.faults if isinstance(found, Invalid) else found)


@settings(max_examples=300, deadline=timedelta(seconds=SLOWEST), suppress_health_check=[HealthCheck.too_slow])
@given(_mutants())
def test_a_mutant_is_read_or_refused_and_always_the_same_way(event: Any) -> None:
    before = repr(event)
    found = _outcome({"event": event})
    assert repr(event) == before
    assert _comparable(_outcome({"event": event})) == _comparable(found)
    if isinstance(found, Invalid):
        assert found.faults
        return
    for draft in found.messages:
        parse(MessageCreate, json.dumps({"conversation_id": str(uuid4()), **draft.fields}))


@settings(max_examples=300, deadline=timedelta(seconds=SLOWEST), suppress_health_check=[HealthCheck.too_slow])
@given(_mutants())
def test_the_messages_of_a_mutant_are_found_without_checking_it_first(event: Any) -> None:
    before = repr(event)
    assert repr(drafts(event, session_of(event))) == repr(drafts(event, session_of(event)))
    assert repr(event) == before


CALL: Final = {"id": "call", "name": "clock", "arguments": "{}", "client_side": True}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "FunctionCallRequest", "functions": [CALL] * 20_000},
        {"type": "FunctionCallRequest", "functions": [{}] * 500_000},
        {"type": "FunctionCallCancelled", "functions": [0] * 1_000_000},
        {"type": "History", "function_calls": [CALL] * 20_000},
        {"type": "ConversationText", "role": "user", "content": "x", "languages": [0] * 1_000_000},
        {"type": "ConversationText", "role": "user", "content": "\0" * 2_000_000},
        {"type": "ConversationText", "role": "user", "content": "x", "extra": dict.fromkeys(map(str, range(100_000)))},
        {"type": "Settings", "audio": {}, "agent": {}, "tags": [0] * 1_000_000},
        {"type": "Error", "description": "d", "code": "c", "more": [[0] * 1_000] * 1_000},
        {"type": "x" * 2_000_000},
    ],
    ids=lambda event: f"{event['type'][:20]} {[*event][-1]}",
)
def test_the_largest_events_cost_no_more_than_their_size(event: dict[str, Any]) -> None:
    began = time.process_time()
    found = _outcome({"event": event})
    assert time.process_time() - began < SLOWEST
    assert isinstance(found, Event) or len(found.faults) <= 4


async def test_whatever_a_phone_forwards_each_event_has_its_own_answer_and_none_is_a_fault_of_ours(
    service: httpx.AsyncClient,
) -> None:
    opened = await service.post("/api/v1/voice/sessions", json={"id": "vs_0123456789abcdef"})
    assert opened.status_code == 201
    found: list[Any] = []

    @settings(max_examples=400, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(_mutants())
    def collect(event: Any) -> None:
        found.append(event)

    collect()
    statuses: set[int] = set()
    for start in range(0, len(found), 20):
        events = [
            {"event": event, "client_sequence": start + at + 1} for at, event in enumerate(found[start : start + 20])
        ]
        body = json.dumps({"events": events})
        headers = {"content-type": "application/json"}
        answer = await service.post("/api/v1/voice/sessions/vs_0123456789abcdef/events", content=body, headers=headers)
        if len(body) > 4 * 2**20:
            assert answer.status_code == 413
        else:
            assert answer.status_code == 200
            statuses |= {result["status"] for result in answer.json()["results"]}
    assert statuses == {201, 422}
    receipt = (await service.get("/api/v1/voice/sessions/vs_0123456789abcdef/receipt")).json()
    kept = (await service.get(f"/api/v1/conversations/{opened.json()['conversation_id']}/transcript")).json()[
        "messages"
    ]
    assert receipt["last_sequence"] == len(kept) > 0
