"""Parsing of a batch: each item is validated alone, so that an invalid item does not refuse the others."""

from collections.abc import Callable
from typing import TypeVar

from pydantic import JsonValue

from backend.errors import MAX_FAULTS, Fault, Invalid
from backend.schemas.nested_json import load_any_depth
from backend.schemas.parsing import unknown_field

ItemT = TypeVar("ItemT")


def parse_each(read: Callable[[JsonValue], ItemT], body: bytes, name: str, *, most: int) -> list[ItemT | Invalid]:
    """Return, for each item of a body ``{name: [item, …]}``, the result of ``read`` or the Invalid that it raised.

    Raises Invalid if the body does not have that form, or has no item or more than ``most``.
    """
    items = _listed(load_any_depth(body), name)
    if not 1 <= len(items) <= most:
        raise Invalid([Fault(f"/{name}", f"must be an array of 1 to {most} items")])
    return [_read_at(f"/{name}/{index}", read, item) for index, item in enumerate(items)]


def _listed(document: JsonValue, name: str) -> list[JsonValue]:
    if not isinstance(document, dict):
        raise Invalid([Fault("", "must be an object")])
    if unknown := [each for each in document if each != name]:
        named = [unknown_field("", each) for each in unknown[:MAX_FAULTS]]
        raise Invalid(named, more=len(unknown) - len(named))
    items = document.get(name)
    return items if isinstance(items, list) else []


def _read_at(place: str, read: Callable[[JsonValue], ItemT], item: JsonValue) -> ItemT | Invalid:
    try:
        return read(item)
    except Invalid as invalid:
        return invalid.below(place)
