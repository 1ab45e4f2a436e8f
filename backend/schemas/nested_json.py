"""Reading JSON however deeply it is nested.

Python's parser gives up at about a thousand levels and does not say where, so one item of a batch would have the whole
of it refused. What is nested deeper than anything that is kept is therefore written as text before it is parsed again.
"""

import json
import re
from typing import Final

from pydantic import JsonValue

from backend.schemas.parsing import load
from backend.schemas.repair import EXCERPT

DEEPEST: Final = 100  # levels that stay; metadata holds 32, and an event stands in three
# A string, or a bracket outside of one. It takes linear time, because it gives nothing back once it has matched:
# a quote that is never closed takes all that follows.
_MARK: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?+|[\[\]{}]', re.DOTALL)


def load_any_depth(body: bytes | str) -> JsonValue:
    """Return the JSON in ``body``, with the beginning of what is nested too deeply as text; raises Invalid."""
    try:
        return load(body)
    except RecursionError:
        text = body if isinstance(body, str) else body.decode(errors="surrogatepass")
    return load(shallow(text))


def shallow(text: str) -> str:
    """Return JSON ``text`` with a string in the place of each container that stands in `DEEPEST` others."""
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
    # What is never closed is no JSON, and stays away so that the parser does not meet its depth again.
    return "".join([*kept, text[done : start if depth > DEEPEST else None]])
