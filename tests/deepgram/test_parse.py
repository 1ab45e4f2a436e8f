"""An event as a phone forwards it: whatever it is, it is either read or refused, and what is read can be stored."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from backend.deepgram import Event, read
from backend.deepgram.parse import UNKNOWN
from backend.errors import Invalid
from backend.schemas.fields import JsonObject
from tests.deepgram.examples import EXAMPLES

_TEXTS = st.text(alphabet=st.characters(exclude_categories=()) | st.sampled_from("\0\ud800\udfff"))
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=12,
)
_MUTATED = st.builds(
    lambda event, names, value: {**event, **dict.fromkeys(names, value)},
    st.sampled_from([*EXAMPLES.values()]),
    st.lists(st.sampled_from(["role", "content", "functions", "id", "name", "request_id", "tts_latency", "new"])),
    _JSON,
)


def outcome(item: Any) -> Event | Invalid:
    try:
        return read(item)
    except Invalid as refusal:
        return refusal


def _fields(found: Event) -> list[JsonObject]:
    return [draft.fields for draft in found.messages]


def event(**fields: Any) -> Event:
    found = outcome({"event": fields})
    assert isinstance(found, Event)
    return found


@given(_JSON | st.fixed_dictionaries({"event": _JSON | _MUTATED}))
def test_anything_that_json_can_hold_is_read_or_refused(item: Any) -> None:
    found = outcome(item)
    if isinstance(found, Invalid):
        assert all(fault.pointer in {"", "/event"} or fault.pointer.startswith("/event/") for fault in found.faults)
    else:
        stored = json.dumps([_fields(found), found.detail], allow_nan=False, ensure_ascii=False)
        assert "\0" not in stored
        assert "\\u0000" not in stored
        stored.encode()


@given(st.sampled_from([*EXAMPLES.values()]))
def test_what_is_sound_is_read_and_nothing_of_it_is_mended(example: JsonObject) -> None:
    found = event(**example)
    assert found.unknown_fields == 0
    assert found.known_type == example["type"]
    assert "repaired" not in json.dumps([_fields(found), found.detail])


def test_what_was_mended_says_so_in_its_own_message_and_not_in_its_neighbours() -> None:
    calls = [{"id": name, "name": "clock", "arguments": "{}", "client_side": True} for name in ("one\0", "two")]
    found = event(type="FunctionCallRequest", functions=calls)
    about = {"name": "clock", "client_side": True, "state": "requested"}
    assert [message.metadata for message in found.messages] == [
        {"call_id": "one�", "repaired": ["/metadata/call_id"]} | about,
        {"call_id": "two"} | about,
    ]


def test_fields_that_nobody_knows_are_counted_and_kept_where_the_event_is() -> None:
    call = {"id": "call", "name": "clock", "arguments": "{}", "client_side": True, "mood": 1}
    found = event(type="FunctionCallRequest", functions=[call, call], weather="fine")
    assert found.unknown_fields == 3
    assert [message.metadata["extra"] for message in found.messages] == [{"mood": 1, "weather": "fine"}, {"mood": 1}]
    assert event(type="Error", description="d", code="c", at="noon").detail == {
        "description": "d",
        "code": "c",
        "at": "noon",
    }


def test_a_type_of_tomorrow_has_no_fields_that_anybody_could_miss() -> None:
    found = event(type="MoodRing", colour="blue")
    assert (found.unknown_fields, found.known_type, found.detail, found.messages) == (0, UNKNOWN, None, [])


def test_of_what_deepgram_remembers_only_a_fingerprint_is_kept() -> None:
    found = event(type="History", role="user", content="a secret")
    assert found.detail is not None
    assert found.detail["role"] == "user"
    assert "secret" not in json.dumps(found.detail)
