"""From bytes to checked values, or to faults that say where and why without quoting what was sent.

The fast way reads JSON and checks it in one pass. Where that fails, the slow way asks again, with a parser that
accepts what the first stumbles over (lone surrogates, which are grammatical JSON), so that the fault gets its place.
"""

import json
import re
from collections.abc import Sequence
from typing import Final, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from backend.errors import Fault, Invalid

ModelT = TypeVar("ModelT", bound=BaseModel)

_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_DIGITS: Final = 400
_LONGEST_IDENTIFIER: Final = 40  # characters
_UNKNOWN: Final = "extra_forbidden"  # Pydantic's name for a field that a model does not have
_MOST_NAMED: Final = 5  # unknown fields of one item, so that the answer to a batch stays shorter than the batch
# Pydantic lists all faults or none, in one call into C: 50,000 of them stop every thread for 50 ms.
_MOST_EXAMINED: Final = 1_000
_SENTENCES: Final = {
    "missing": "is required",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "date_from_datetime_parsing": "must be an RFC 3339 time",
    "datetime_from_date_parsing": "must be an RFC 3339 time with a zone",
    "datetime_parsing": "must be an RFC 3339 time with a zone",
    "datetime_type": "must be an RFC 3339 time with a zone",
    "dict_type": "must be an object",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    # What is no JSON at all has been found before: what is left is JSON beyond the fast parser's depth.
    "json_invalid": "is nested too deeply",
    "list_type": "must be an array",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_type": "must be a string",
    "timezone_aware": "must carry a zone, as Z or +07:00",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
}
# Pydantic's own words for these are made of our limits and vocabulary alone.
_OWN_WORDS: Final = {
    "enum",
    "literal_error",
    "greater_than_equal",
    "less_than_equal",
    "string_too_short",
    "string_too_long",
    "too_long",
    "too_short",
    "nul",
    "timestamp",
    "timestamp_range",
    "depth",
    "number",
    "cursor",
}


def parse(model: type[ModelT], body: bytes | str) -> ModelT:
    """Return ``body`` as ``model``; raises Invalid with a fault for every field that is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        if (count := error.error_count()) > _MOST_EXAMINED:
            raise Invalid([Fault("", "has too many faults to name them")], more=count - 1) from None
        found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        try:
            document = load(body)
        except RecursionError:
            raise too_deep() from None
        if poisoned := _poisoned(model, document):
            raise Invalid(poisoned)
        if isinstance(body, bytes):
            return parse_item(model, document)
    raise Invalid(_faults(found))


def _faults(found: Sequence[ErrorDetails]) -> list[Fault]:
    """Return a fault for each finding; those of unknown fields beyond _MOST_NAMED do not name the field."""
    faults, named = [], 0
    for details in found:
        faults.append(fault_of(details, named=named < _MOST_NAMED))
        named += details["type"] == _UNKNOWN
    return faults


def parse_item(model: type[ModelT], item: JsonValue) -> ModelT:
    """Return ``item``, which was read from JSON before, as ``model``; raises what `parse` raises."""
    try:
        text = json.dumps(item)
    except RecursionError:
        raise too_deep() from None
    return parse(model, text)


def load(body: bytes | str) -> JsonValue:
    """Return the JSON in ``body``, be it fit to be stored or not; raises Invalid, or RecursionError if it is deep."""
    try:
        # Decoded here, because json would guess at other encodings, and "surrogatepass" because it must meet them.
        text = body if isinstance(body, str) else body.decode(errors="surrogatepass")
        document: JsonValue = json.loads(text, parse_int=_integer)
    except ValueError:
        raise Invalid([Fault("", "must be JSON in UTF-8")]) from None
    return document


def too_deep() -> Invalid:
    """Return the refusal of what is nested deeper than anybody reads."""
    return Invalid([Fault("", "is nested too deeply")])


def fault_of(details: ErrorDetails, *, named: bool = True) -> Fault:
    """Return one of Pydantic's findings as a pointer and a sentence of ours, which may name an unknown field."""
    if details["type"] == _UNKNOWN:
        *place, name = details["loc"]
        return unknown_field(_pointer(place), str(name) if named else "")
    return Fault(_pointer(details["loc"]), _sentence(details))


def unknown_field(place: str, name: str) -> Fault:
    """Return the fault of an object at the pointer ``place``, which holds a field with an unknown ``name``.

    The name is named if it looks like an identifier, say a misspelt one. Any other may be what a person said.
    """
    if len(name) <= _LONGEST_IDENTIFIER and name.isascii() and name.isidentifier():
        return Fault(f"{place}/{name}", "is not a field that is known here")
    return Fault(place, "holds a field that is not known here")


def _pointer(location: Sequence[str | int]) -> str:
    """Return ``location`` as a JSON pointer (RFC 6901)."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)


def _sentence(details: ErrorDetails) -> str:
    if details["type"] in _OWN_WORDS:
        _, should, rest = details["msg"].partition("should ")
        return f"must {rest}" if should else details["msg"]
    return _SENTENCES.get(details["type"], "is not of the documented form")


def _integer(digits: str) -> float:
    # Python refuses to read thousands of digits. As a float it is infinite, which is refused in its place.
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)


def _poisoned(model: type[BaseModel], document: JsonValue) -> list[Fault]:
    """Return faults that a strict JSON parser reports without a place."""
    fields = document if isinstance(document, dict) else {"": document}
    return [
        # Below a known field the way is made of the sender's own words, and stays unsaid.
        Fault(_pointer([name] if name in model.model_fields else []), poison)
        for name, value in fields.items()
        if (poison := _poison([name, value]))
    ]


def _poison(value: JsonValue) -> str | None:
    try:
        return "must not contain a lone surrogate" if _holds_surrogate(value) else None
    except RecursionError:
        return "is nested too deeply"


def _holds_surrogate(value: JsonValue) -> bool:
    if isinstance(value, str):
        return _SURROGATE.search(value) is not None
    if isinstance(value, dict):
        return any(_SURROGATE.search(key) or _holds_surrogate(item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_surrogate(item) for item in value)
