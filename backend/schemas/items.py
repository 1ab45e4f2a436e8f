"""The items of a batch, each read by itself, so that none suffers for what is wrong with another.

An item may be nested deeper than any parser follows. Then the batch is taken apart by its brackets alone, which needs
no recursion, and only the deep ones are refused.
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, TypeVar

from pydantic import JsonValue

from backend.errors import Fault, Invalid
from backend.schemas.parsing import load, too_deep

ItemT = TypeVar("ItemT")

_HEAD: Final = re.compile(r'\s*\{\s*"\w+"\s*:\s*\[')
_MOST_TOKENS: Final = 200_000  # more than a batch of speech can have, and few enough that nobody waits
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{]+|[\]}]+|,', re.DOTALL)


def parse_each(read: Callable[[JsonValue], ItemT], body: bytes, name: str, *, most: int) -> list[ItemT | Invalid]:
    """Return what ``read`` makes of each item of ``{name: [item, …]}``, or what is wrong with that item.

    Raises Invalid when the whole is not of that form or holds none or more than ``most``.
    """
    try:
        items: list[JsonValue | Invalid] = [*_listed(load(body), name)]
    except RecursionError:
        items = _one_by_one(body, name)
    if not 1 <= len(items) <= most:
        raise Invalid([Fault(f"/{name}", f"must be an array of 1 to {most} items")])
    return [_read_at(f"/{name}/{index}", read, item) for index, item in enumerate(items)]


def _listed(document: JsonValue, name: str) -> list[JsonValue]:
    if not isinstance(document, dict):
        raise Invalid([Fault("", "must be an object")])
    if document.keys() - {name}:
        raise Invalid([Fault("", "holds a field that is not known here")])
    items = document.get(name)
    return items if isinstance(items, list) else []


def _read_at(place: str, read: Callable[[JsonValue], ItemT], item: JsonValue | Invalid) -> ItemT | Invalid:
    try:
        if isinstance(item, Invalid):
            raise item
        return read(item)
    except Invalid as invalid:
        return Invalid([Fault(place + fault.pointer, fault.detail) for fault in invalid.faults])


def _one_by_one(body: bytes, name: str) -> list[JsonValue | Invalid]:
    try:
        *texts, rest = _taken_apart(body.decode(errors="surrogatepass"))
        _listed(load(rest), name)
    except RecursionError:
        raise too_deep() from None
    return [_load(text) for text in texts]


def _load(text: str) -> JsonValue | Invalid:
    try:
        return load(text)
    except RecursionError:
        return too_deep()


def _taken_apart(text: str) -> Iterator[str]:
    """Yield the text of each item in the object's first array, and then that of the object without them."""
    head = _HEAD.match(text)
    if head is None:
        raise too_deep()
    depth, begin = 0, head.end()
    for token in islice(_TOKEN.finditer(text, begin), _MOST_TOKENS):
        run = token[0]
        if run[0] in "[{":
            depth += len(run)
        elif run[0] in "]}" and len(run) > depth:
            end = token.start() + depth
            yield text[begin:end]
            yield head[0] + text[end:]
            return
        elif run[0] in "]}":
            depth -= len(run)
        elif run == "," and depth == 0:
            yield text[begin : token.start()]
            begin = token.end()
    raise too_deep()
