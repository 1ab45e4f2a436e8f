"""Pairing of function calls: the record has a message for the request and one for the result, models want both in one.

`metadata.state` tells what a message of the role function is. `requested`: the request, with the arguments as content.
`completed` or `failed`: the result, or the error. `in_progress`: a result that is not the last one. `cancelled`: there
will be no result. A message without a state is a result; if no request with its `call_id` or `name` is open, it is the
whole call, and `metadata.arguments` holds the arguments.

A call is written when its result is reached. A call without a result, because it was cancelled or the connection broke,
is left out, because model APIs refuse it.
"""

from collections import deque
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

_MOST: Final = 256  # open calls; an assistant has a few at a time
_SIZE: Final = 2**18  # characters
_UNNAMED: Final = "function"


class FunctionCall(NamedTuple):
    """A function call with its result, ``response``. ``asked`` is the metadata of the request."""

    id: str
    name: str
    arguments: str
    response: str
    asked: dict[str, Any]


class FunctionCalls:
    """Pairs the messages of the role function, which it takes in spoken order.

    It keeps the last 256 open requests, with at most 2^18 characters of arguments together, because a conversation may
    hold any number of requests without a result, and each result is looked up among them.
    """

    def __init__(self) -> None:
        self._open: deque[dict[str, Any]] = deque()
        self._size = 0

    def take(self, message: dict[str, Any]) -> FunctionCall | None:
        """Return the call that ``message`` completes, or None if it completes none."""
        metadata = message["metadata"]
        state = metadata.get("state")
        if state == "in_progress":
            return None
        if state == "requested":
            if _text(metadata, "name"):
                self._remember(message)
            return None
        request = self._request_of(metadata)
        if request is not None:
            self._open.remove(request)
            self._size -= len(request["content"])
        elif state is None:
            request = message | {"content": _arguments(metadata)}
        return None if request is None or state == "cancelled" else _call(request, message["content"])

    def _remember(self, request: dict[str, Any]) -> None:
        self._open.append(request)
        self._size += len(request["content"])
        while len(self._open) > 1 and (len(self._open) > _MOST or self._size > _SIZE):
            self._size -= len(self._open.popleft()["content"])

    def _request_of(self, metadata: dict[str, Any]) -> dict[str, Any] | None:
        """Return the open request with the same call id or, if the result has none, the oldest with the same name."""
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
    """Return ``metadata[name]`` if it is a text that is not empty, else None; senders may put any JSON there."""
    value = metadata.get(name)
    return value if isinstance(value, str) and value else None
