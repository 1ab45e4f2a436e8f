"""Our idea of Deepgram's events is Deepgram's own: held against the official SDK."""

from typing import get_args

import deepgram.agent.v1.types as sdk
import pytest
from pydantic import BaseModel

from backend.deepgram.events import FIELDS, KNOWN, count_unknown
from tests.deepgram.examples import EXAMPLES

TYPES: list[type[BaseModel]] = [
    found
    for name in dir(sdk)
    if isinstance(found := getattr(sdk, name), type) and issubclass(found, BaseModel) and "type" in found.model_fields
]
# Parts of Settings that have a type of their own, and the union of both kinds of history.
MESSAGES = [each for each in TYPES if not any(part in each.__name__ for part in ("Provider_V", "MessagesItem"))]
# The SDK has one kind of history as a class of its own; and it fills in what tells the kinds of an injection apart.
BY_HAND = {
    "History": {"role", "content", "function_calls"},
    "InjectAgentMessage": {"message", "behavior", "is_dynamic"},
}


def kind_of(model: type[BaseModel]) -> str:
    field = model.model_fields["type"]
    return str(field.default if isinstance(field.default, str) else get_args(field.annotation)[0])


def test_every_type_that_the_sdk_knows_is_known_and_no_other() -> None:
    history = {"History"}  # the SDK has it as a union, without a class that bears the type's default
    assert {kind_of(model) for model in MESSAGES} | history >= KNOWN
    assert {kind_of(model) for model in MESSAGES} - KNOWN <= {"deepgram"}
    assert {event["type"] for event in EXAMPLES.values()} == KNOWN


@pytest.mark.parametrize("kind", sorted(KNOWN))
def test_each_type_has_the_fields_of_the_sdk(kind: str) -> None:
    fields = {name for model in MESSAGES if kind_of(model) == kind for name in model.model_fields}
    assert fields | BY_HAND.get(kind, set()) - {"type"} >= FIELDS[kind] >= fields - {"type"}


def test_an_example_leaves_no_field_out_and_has_none_that_is_unknown() -> None:
    for kind in KNOWN:
        examples = [event for event in EXAMPLES.values() if event["type"] == kind]
        assert {name for event in examples for name in event} == FIELDS[kind] | {"type"}
        assert [count_unknown(event) for event in examples] == [0] * len(examples)
