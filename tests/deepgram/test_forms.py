"""Our idea of Deepgram's events is Deepgram's own: held against the official SDK."""

from typing import get_args

import deepgram.agent.v1.types as sdk
import pytest
from pydantic import BaseModel

from backend.deepgram.forms import KNOWN, form_of
from tests.deepgram.examples import EXAMPLES

TYPES: list[type[BaseModel]] = [
    found
    for name in dir(sdk)
    if isinstance(found := getattr(sdk, name), type) and issubclass(found, BaseModel) and "type" in found.model_fields
]
# Parts of Settings that have a type of their own, and the union of both kinds of history.
MESSAGES = [each for each in TYPES if not any(part in each.__name__ for part in ("Provider_V", "MessagesItem"))]


def kind_of(model: type[BaseModel]) -> str:
    field = model.model_fields["type"]
    return str(field.default if isinstance(field.default, str) else get_args(field.annotation)[0])


def test_every_type_that_the_sdk_knows_is_known_and_no_other() -> None:
    history = {"History"}  # the SDK has it as a union, without a class that bears the type's default
    assert {kind_of(model) for model in MESSAGES} | history >= KNOWN
    assert {kind_of(model) for model in MESSAGES} - KNOWN <= {"deepgram"}
    assert {event["type"] for event in EXAMPLES.values()} == KNOWN


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_form_has_the_fields_of_the_sdk_and_asks_for_the_same(name: str) -> None:
    event = EXAMPLES[name]
    form = form_of(event)
    form.model_validate(event)
    assert _fields(form) in [_fields(model) for model in MESSAGES if kind_of(model) == event["type"]]


def _fields(model: type[BaseModel]) -> dict[str, bool]:
    """Each field, and whether it must be there; but for those that the SDK fills in itself."""
    return {
        name: field.is_required() for name, field in model.model_fields.items() if name not in {"type", "is_dynamic"}
    }


def test_an_example_leaves_no_field_out() -> None:
    for event in EXAMPLES.values():
        assert event.keys() == {"type"} | form_of(event).model_fields.keys()
