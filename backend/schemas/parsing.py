"""Parsing of request bodies: from bytes to validated models, or to faults with a JSON pointer and a reason.

A fault never quotes the value that was sent. The fast path parses and validates JSON in one pass (pydantic-core). If
that fails on JSON that it cannot parse, such as lone surrogates, the slow path parses it again with Python's parser,
which accepts them, so that the fault gets a pointer.
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
_MOST_NAMED: Final = 5  # unknown fields named per item, so that the answer to a batch stays shorter than the batch
# Pydantic lists all faults in one call, which holds the GIL: 50,000 faults block every thread for 50 ms.
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
    # Invalid JSON has been refused before; what remains is JSON beyond the depth of pydantic-core's parser.
    "json_invalid": "is nested too deeply",
    "list_type": "must be an array",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "string_type": "must be a string",
    "timezone_aware": "must carry a zone, as Z or +07:00",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
}
# For these types Pydantic's own sentences quote only our limits and vocabulary.
_PYDANTIC_SENTENCES: Final = {
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
    """Return ``body`` as a ``model``; raises Invalid with a fault for every invalid field."""
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
        if faults := _unplaced_faults(model, document):
            raise Invalid(faults)
        if isinstance(body, bytes):
            return parse_item(model, document)
    raise Invalid(_faults(found))


def _faults(found: Sequence[ErrorDetails]) -> list[Fault]:
    """Return a fault for each of Pydantic's errors; unknown fields beyond _MOST_NAMED are not named."""
    faults, named = [], 0
    for details in found:
        faults.append(fault_of(details, named=named < _MOST_NAMED))
        named += details["type"] == _UNKNOWN
    return faults


def parse_item(model: type[ModelT], item: JsonValue) -> ModelT:
    """Return ``item``, a value parsed from JSON, as a ``model``; raises what `parse` raises.

    It raises Invalid also if ``item`` is not an object.
    """
    if not isinstance(item, dict):  # a string of a MiB would be written and parsed three times to say the same
        raise Invalid([Fault("", _SENTENCES["model_type"])])
    try:
        text = json.dumps(item)
    except RecursionError:
        raise too_deep() from None
    return parse(model, text)


def load(body: bytes | str) -> JsonValue:
    """Return the JSON in ``body``, also with values that cannot be stored.

    Raises Invalid if it is not JSON in UTF-8, and RecursionError if it is nested too deeply for Python.
    """
    try:
        # Decoded here, because json.loads would guess other encodings; "surrogatepass" lets surrogates reach the check.
        text = body if isinstance(body, str) else body.decode(errors="surrogatepass")
        document: JsonValue = json.loads(text, parse_int=_integer)
    except ValueError:
        raise Invalid([Fault("", "must be JSON in UTF-8")]) from None
    return document


def too_deep() -> Invalid:
    """Return the refusal of JSON that is nested deeper than the parser allows."""
    return Invalid([Fault("", "is nested too deeply")])


def fault_of(details: ErrorDetails, *, named: bool = True) -> Fault:
    """Return one of Pydantic's errors as a fault; ``named`` permits the sentence to name an unknown field."""
    if details["type"] == _UNKNOWN:
        *place, name = details["loc"]
        return unknown_field(_pointer(place), str(name) if named else "")
    return Fault(_pointer(details["loc"]), _sentence(details))


def unknown_field(place: str, name: str) -> Fault:
    """Return the fault of an object at the pointer ``place`` that has an unknown field ``name``.

    The fault names the field only if it looks like an identifier, such as a misspelt one; any other name may be
    content.
    """
    if len(name) <= _LONGEST_IDENTIFIER and name.isascii() and name.isidentifier():
        return Fault(f"{place}/{name}", "is an unknown field; remove it")
    return Fault(place, "has an unknown field; remove it")


def _pointer(location: Sequence[str | int]) -> str:
    """Return ``location`` as a JSON pointer (RFC 6901)."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in location)


def _sentence(details: ErrorDetails) -> str:
    if details["type"] in _PYDANTIC_SENTENCES:
        _, should, rest = details["msg"].partition("should ")
        return f"must {rest}" if should else details["msg"]
    return _SENTENCES.get(details["type"], "does not have the documented form")


def _integer(digits: str) -> float:
    # Python refuses to parse thousands of digits. As a float the number is infinite, and refused with its pointer.
    return int(digits) if len(digits) < _MOST_DIGITS else float(digits)


def _unplaced_faults(model: type[BaseModel], document: JsonValue) -> list[Fault]:
    """Return the faults that pydantic-core's JSON parser reports without a place."""
    fields = document if isinstance(document, dict) else {"": document}
    return [
        # The pointer ends at a known field: names below it are the sender's, and may be content.
        Fault(_pointer([name] if name in model.model_fields else []), fault)
        for name, value in fields.items()
        if (fault := _unplaced_fault([name, value]))
    ]


def _unplaced_fault(value: JsonValue) -> str | None:
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
