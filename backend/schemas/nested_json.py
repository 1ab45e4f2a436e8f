"""Parsing of JSON of any depth.

Python's parser fails at about a thousand levels without a place, so one item would refuse a whole batch. If that
happens, containers that are nested deeper than anything the record keeps are turned into text, and the result is parsed
again.
"""

import json
import re
from typing import Final

from pydantic import JsonValue

from backend.schemas.parsing import load
from verbatim_record.repair import EXCERPT

DEEPEST: Final = 100  # levels that stay; metadata may have 32, and an event is nested in three more
# A string, or a bracket outside of a string. It takes linear time, because its possessive quantifiers never backtrack:
# a quote without its end matches the rest of the text.
_MARK: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?+|[\[\]{}]', re.DOTALL)


def load_any_depth(body: bytes | str) -> JsonValue:
    """Return the JSON in ``body``, with containers nested too deeply as text; raises Invalid if it is not JSON."""
    try:
        return load(body)
    except RecursionError:
        text = body if isinstance(body, str) else body.decode(errors="surrogatepass")
    return load(shallow(text))


def shallow(text: str) -> str:
    """Return the JSON ``text`` with each container that is nested in `DEEPEST` others replaced by a string."""
    kept: list[str] = []
    depth = done = start = 0
    for mark in _MARK.finditer(text):
        if mark[0] in "[{":
            depth += 1
            if depth == DEEPEST + 1:
                start = mark.start()
        elif mark[0] in "]}":
            if depth == DEEPEST + 1:
                kept += [text[done:start], json.dumps(text[start : min(mark.end(), start + EXCERPT)])]
                done = mark.end()
            depth -= 1
    # A container without its end is not JSON; it is left out, so that the parser does not reach its depth again.
    return "".join([*kept, text[done : start if depth > DEEPEST else None]])
