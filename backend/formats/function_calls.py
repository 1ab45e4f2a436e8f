"""The two sides of a function call, which are messages of their own here, and one thing to a model that made the call.

`metadata.state` says what a message of the role function is. `requested`: the call, with its arguments as content.
`completed` or `failed`: its result, or its error. `in_progress`: a result that is not the last one. `cancelled`: there
will be no result. A message without a state is a result; if no request of its `call_id` or `name` stands open, it is
the whole call, and `metadata.arguments` holds the arguments.

The two meet when the result is reached. A call that has no result, because it was cancelled or the line broke, is left
out, since no model would take it.
"""

from collections import deque
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

_MOST: Final = 256  # calls; an assistant has a handful under way
_SIZE: Final = 2**18  # characters
_UNNAMED: Final = "function"


class FunctionCall(NamedTuple):
    """A function that was called, and what it answered. ``asked`` is the metadata of the request."""

    id: str
    name: str
    arguments: str
    response: str
    asked: dict[str, Any]


class FunctionCalls:
    """Takes the messages of the role function in spoken order, and pairs them.

    Of calls without a result the last ``_MOST`` are kept, with arguments of at most ``_SIZE`` characters together: a
    conversation may hold any number of calls that never end, and each result is looked up among them.
    """

    def __init__(self) -> None:
        self._open: deque[dict[str, Any]] = deque()
        self._size = 0

    def take(self, message: dict[str, Any]) -> FunctionCall | None:
        """Return the call that ``message`` completes, if it does."""
        metadata = message["metadata"]
        state = metadata.get("state")
        if state == "in_progress":
            return None
        if state == "requested":
            if _text(metadata, "name"):
                self._keep(message)
            return None
        request = self._request_of(metadata)
        if request is not None:
            self._open.remove(request)
            self._size -= len(request["content"])
        elif state is None:
            request = message | {"content": _arguments(metadata)}
        return None if request is None or state == "cancelled" else _call(request, message["content"])

    def _keep(self, request: dict[str, Any]) -> None:
        self._open.append(request)
        self._size += len(request["content"])
        while len(self._open) > 1 and (len(self._open) > _MOST or self._size > _SIZE):
            self._size -= len(self._open.popleft()["content"])

    def _request_of(self, metadata: dict[str, Any]) -> dict[str, Any] | None:
        """Return the request that this answers: by its id, or, where a server left that out, the oldest of its name."""
        key = "call_id" if _text(metadata, "call_id") else "name"
        wanted = _text(metadata, key)
        return next((each for each in self._open if wanted and each["metadata"].get(key) == wanted), None)


def _call(request: dict[str, Any], response: str) -> FunctionCall:
    metadata = request["metadata"]
    identity = _text(metadata, "call_id") or f"call_{UUID(request['id']).hex}"
    return FunctionCall(identity, _text(metadata, "name") or _UNNAMED, request["content"], response, metadata)


def _arguments(metadata: dict[str, Any]) -> str:
    arguments = metadata.get("arguments", {})
    return arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()


def _text(metadata: dict[str, Any], name: str) -> str | None:
    """Return the text under ``name``, if it is one; a program that posts messages may put anything there."""
    value = metadata.get(name)
    return value if isinstance(value, str) and value else None
