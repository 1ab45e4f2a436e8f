"""The strict history: whatever was recorded, its messages are in the one order that every model accepts."""

import random
from typing import Any
from uuid import UUID

import orjson
import pytest

from backend.formats.strict_chat import StrictChat
from tests.description import assert_described

OPENING = {"role": "user", "content": "(The assistant speaks first.)"}


def message(role: str, content: str, **metadata: object) -> bytes:
    return orjson.dumps({"id": UUID(int=1), "role": role, "content": content, "metadata": metadata})


def called(identity: str, result: str | None = "nine", arguments: str = "{}") -> list[bytes]:
    """A call of a function and, unless it is None, its result."""
    about = {"call_id": identity, "name": "clock"}
    asked = message("function", arguments, state="requested", **about)
    return [asked] if result is None else [asked, message("function", result, state="completed", **about)]


def history(*documents: bytes) -> list[dict[str, Any]]:
    chat = StrictChat()
    written = b'{"messages":[' + b"".join([*map(chat.write, documents), chat.finish()]) + b"]}"
    whole = orjson.loads(written)
    assert_described("OpenAIChat", whole)
    found: list[dict[str, Any]] = whole["messages"]
    assert_strict(found)
    return found


def assert_strict(messages: list[dict[str, Any]]) -> None:
    """Hold messages against what templates and APIs demand."""
    rest = messages[1:] if messages and messages[0]["role"] == "system" else messages
    # As Mistral's template counts: a message that calls functions takes no turn.
    turns = [each["role"] for each in rest if each["role"] != "tool" and not each.get("tool_calls")]
    assert turns == [("user", "assistant")[place % 2] for place in range(len(turns))]
    # As the APIs of Anthropic and OpenAI: each call is answered by the next message, and each answer belongs to a call.
    expected: list[str] = []
    for place, each in enumerate(rest):
        if each["role"] == "tool":
            assert each["tool_call_id"] == expected.pop(0)
            assert place + 1 == len(rest) or rest[place + 1]["role"] in {"tool", "assistant"}
        else:
            assert expected == []
            expected = [call["id"] for call in each.get("tool_calls", ())]
            assert each["role"] in {"user", "assistant"}
            assert each["content"] or each.get("tool_calls")
    assert expected == []


def text(role: str, content: str | None) -> dict[str, Any]:
    return {"role": role, "content": content}


def call(identity: str, content: str | None = None, arguments: str = "{}") -> dict[str, Any]:
    function = {"name": "clock", "arguments": arguments}
    return text("assistant", content) | {"tool_calls": [{"id": identity, "type": "function", "function": function}]}


def result(identity: str, content: str = "nine") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def test_neighbours_of_one_role_become_one_and_what_is_empty_is_left_out() -> None:
    assert history(
        message("system", "Be brief."),
        message("system", "Be kind."),
        message("user", 'What "time"'),
        message("assistant", "  \n"),
        message("user", "is it?\n"),
        message("assistant", "Nine."),
        message("assistant", "O'clock."),
        message("user", ""),
    ) == [
        text("system", "Be brief.\n\nBe kind."),
        text("user", 'What "time"\n\nis it?'),
        text("assistant", "Nine.\n\nO'clock."),
    ]


def test_an_assistant_that_speaks_first_follows_a_message_that_says_so() -> None:
    assert history(message("assistant", "Hello."), message("user", "Hi.")) == [
        OPENING,
        text("assistant", "Hello."),
        text("user", "Hi."),
    ]
    assert history(message("system", "Be brief."), *called("a"))[:2] == [text("system", "Be brief."), OPENING]


def test_an_instruction_in_the_middle_is_said_by_the_user() -> None:
    found = history(message("user", "Hi."), message("system", "The user is Minh."), message("assistant", "Hi, Minh."))
    assert found == [text("user", "Hi.\n\nThe user is Minh."), text("assistant", "Hi, Minh.")]


def test_a_call_is_joined_to_what_the_assistant_said_before_it() -> None:
    assert history(
        message("user", "What time is it?"),
        message("assistant", "Let me see."),
        *called("a"),
        *called("b", "ten"),
        message("assistant", "Nine."),
    ) == [
        text("user", "What time is it?"),
        call("a", "Let me see."),
        result("a"),
        call("b"),
        result("b", "ten"),
        text("assistant", "Nine."),
    ]


def test_a_user_who_speaks_between_a_result_and_the_answer_comes_before_the_call() -> None:
    assert history(
        message("user", "What time is it?"), *called("a"), message("user", "Hello?"), message("assistant", "Nine.")
    ) == [
        text("user", "What time is it?\n\nHello?"),
        call("a"),
        result("a"),
        text("assistant", "Nine."),
    ]


def test_a_call_without_a_result_and_a_result_without_a_call_are_left_out() -> None:
    found = history(
        message("user", "What time is it?"),
        *called("a", None),
        message("function", "ten", state="completed", call_id="b", name="clock"),
        message("assistant", "I do not know."),
    )
    assert found == [text("user", "What time is it?"), text("assistant", "I do not know.")]


def test_a_history_may_end_with_a_result_that_the_model_goes_on_from() -> None:
    assert history(message("user", "What time is it?"), *called("a", arguments=""))[1:] == [call("a"), result("a")]


def test_of_very_long_results_that_wait_only_the_last_are_kept() -> None:
    found = history(message("user", "Read it."), *called("a", "x" * 2**20), *called("b", "y"))
    assert [each["tool_call_id"] for each in found if each["role"] == "tool"] == ["b"]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_was_recorded_is_in_the_strict_order_and_no_words_are_lost(seed: int) -> None:
    chance = random.Random(seed)
    documents, texts = [], []
    for number in range(chance.randint(0, 30)):
        kind = chance.choice(["system", "user", "user", "assistant", "assistant", "call", "half", "stray", "empty"])
        match kind:
            case "call":
                documents += called(f"{number}", f"result {number}")
                texts.append(f"result {number}")
            case "half":
                documents += called(f"{number}", None)
            case "stray":
                documents.append(message("function", "stray", state="completed", call_id=f"{number}"))
            case "empty":
                documents.append(message(chance.choice(["user", "assistant"]), " \n\t"))
            case _:
                documents.append(message(kind, f'"words" \\ {number}\n😀'))
                texts.append(f'"words" \\ {number}\n😀')
    found = "\0".join(each["content"] or "" for each in history(*documents))
    assert [words for words in texts if words not in found] == []
