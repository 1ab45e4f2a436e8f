"""Deepgram's events, in the words of the record."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from backend.deepgram import drafts, session_of
from backend.errors import Invalid
from backend.schemas.message import MessageCreate
from backend.schemas.parsing import parse
from verbatim_record.message_limits import CONTENT_BYTES, JsonObject

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_JSON: st.SearchStrategy[Any] = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
_EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["ConversationText", "FunctionCallRequest", "FunctionCallResponse", "Welcome"]) | _JSON},
    optional=dict.fromkeys(
        ("role", "content", "functions", "id", "name", "languages", "conversational_behavior", "request_id"), _JSON
    ),
)


def fields(event: JsonValue) -> list[JsonObject]:
    return [draft.fields for draft in drafts(event)]


def test_what_was_said_becomes_one_message() -> None:
    event: JsonValue = {"type": "ConversationText", "role": "user", "content": "Two tickets, please."}
    assert fields(event) == [{"role": "user", "content": "Two tickets, please.", "metadata": {"provider": "deepgram"}}]


def test_what_deepgram_knows_of_an_utterance_is_kept_beside_it() -> None:
    event: JsonValue = {
        "type": "ConversationText",
        "role": "user",
        "content": "Vâng, đúng rồi.",
        "conversational_behavior": "backchannel",
        "languages": ["vi", "en"],
        "languages_hinted": ["vi"],
    }
    [draft] = drafts(event, session="a connection")
    assert draft.metadata == {
        "provider": "deepgram",
        "provider_session_id": "a connection",
        "behavior": "backchannel",
        "languages": ["vi", "en"],
        "languages_hinted": ["vi"],
    }


def test_each_function_of_a_request_becomes_a_message_in_its_order() -> None:
    functions: list[JsonValue] = [
        {"id": "call-1", "name": "clock", "arguments": "{}", "client_side": True},
        {"id": "call-2", "name": "diary", "arguments": '{"day": "Monday"}', "client_side": False},
    ]
    assert fields({"type": "FunctionCallRequest", "functions": functions}) == [
        {
            "role": "function",
            "content": "{}",
            "metadata": {"call_id": "call-1", "name": "clock", "client_side": True, "state": "requested"},
        },
        {
            "role": "function",
            "content": '{"day": "Monday"}',
            "metadata": {"call_id": "call-2", "name": "diary", "client_side": False, "state": "requested"},
        },
    ]


@pytest.mark.parametrize("known", [{"call_id": "call-1"}, {}])
def test_the_result_of_a_function_becomes_a_message_with_or_without_an_id(known: dict[str, str]) -> None:
    event: dict[str, JsonValue] = {"type": "FunctionCallResponse", "name": "clock", "content": "half past nine"}
    if known:
        event["id"] = known["call_id"]
    assert fields(event) == [
        {"role": "function", "content": "half past nine", "metadata": {"name": "clock", "state": "completed"} | known}
    ]


@pytest.mark.parametrize("kind", ["Welcome", "AgentThinking", "History", "invented tomorrow", None, 7, ["list"], {}])
def test_a_type_that_says_nothing_to_the_record_gives_no_message(kind: JsonValue) -> None:
    assert drafts({"type": kind, "role": "user", "content": "not a message"}) == []


def test_a_connection_begins_with_its_name() -> None:
    assert session_of({"type": "Welcome", "request_id": "a connection"}) == "a connection"
    assert session_of({"type": "ConversationText", "request_id": "a connection"}) is None
    assert session_of({"type": "Welcome"}) is None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "ConversationText", "role": "user"},
        {"type": "ConversationText", "content": "nobody said this"},
        {"type": "ConversationText", "role": "user", "content": ["in", "pieces"]},
        {"type": "FunctionCallRequest"},
        {"type": "FunctionCallRequest", "functions": "clock"},
        {"type": "FunctionCallRequest", "functions": [None]},
        {"type": "FunctionCallRequest", "functions": [{"id": "call-1", "name": "clock"}]},
        {"type": "FunctionCallResponse"},
    ],
)
def test_a_message_that_lacks_a_part_is_refused_by_the_record_and_not_swallowed(event: dict[str, Any]) -> None:
    [draft] = drafts(event)
    assert draft.fault
    with pytest.raises(Invalid) as refusal:
        parse(MessageCreate, json.dumps({"conversation_id": str(uuid4()), **draft.fields}))
    assert {fault.pointer for fault in refusal.value.faults} <= {"/role", "/content"}


@given(_JSON | _EVENTS)
def test_anything_that_json_can_hold_gives_drafts_of_messages(event: Any) -> None:
    for draft in drafts(event, session_of(event)):
        assert draft.fields.keys() == {"role", "content", "metadata"}
        if draft.fault is None:
            parse(MessageCreate, json.dumps({"conversation_id": str(uuid4()), **draft.fields}))


@pytest.mark.parametrize("letter", ["x", "ỏ", "\U0001f600"])
def test_a_text_beyond_the_largest_message_goes_on_in_further_messages(letter: str) -> None:
    text = "!" + letter * (2 * CONTENT_BYTES // len(letter.encode()) + 1)
    found = drafts({"type": "ConversationText", "role": "user", "content": text})
    assert "".join(draft.content or "" for draft in found) == text
    assert [draft.spot for draft in found] == ["0", "0.2", "0.3"]
    assert all(len((draft.content or "").encode()) <= CONTENT_BYTES for draft in found)
    assert [draft.metadata["part"] for draft in found] == [{"number": n, "of": 3} for n in (1, 2, 3)]
    assert all(draft.metadata["repaired"] == ["/content"] for draft in found)


def test_a_function_without_text_costs_its_neighbours_nothing() -> None:
    call: dict[str, JsonValue] = {"id": "call-1", "name": "clock", "arguments": "{}", "client_side": True}
    found = drafts({"type": "FunctionCallRequest", "functions": [call, {"name": "diary"}, 7, call]})
    assert [(draft.spot, draft.fault) for draft in found] == [
        ("0", None),
        ("1", "/functions/1/arguments"),
        ("2", "/functions/2"),
        ("3", None),
    ]
