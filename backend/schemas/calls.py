"""The two sides of a function call, which are messages of their own here, and one thing to those who went through it.

They meet when the result is reached. A call that has no result, because it was cancelled or the line broke, is no past
yet.
"""

from collections import deque
from typing import Any, Final, NamedTuple

_MOST: Final = 256  # calls; an assistant has a handful under way
_SIZE: Final = 2**18  # characters


class Call(NamedTuple):
    """A function that was called, and what it answered: two messages."""

    request: dict[str, Any]
    result: dict[str, Any]


class Calls:
    """Takes the messages of the role function in spoken order, and pairs them.

    Of calls without a result the last ``_MOST`` are kept, with arguments of at most ``_SIZE`` characters together: a
    conversation may hold any number of calls that never end, and each result is looked up among them.
    """

    def __init__(self) -> None:
        self._open: deque[dict[str, Any]] = deque()
        self._size = 0

    def take(self, message: dict[str, Any]) -> Call | None:
        """Return the call that ``message`` completes, if it does."""
        metadata = message["metadata"]
        if metadata.get("state") == "requested":
            if {"call_id", "name"} <= metadata.keys():
                self._keep(message)
            return None
        request = self._request_of(metadata)
        if request is None:
            return None
        self._open.remove(request)
        self._size -= len(request["content"])
        return Call(request, message) if metadata.get("state") == "completed" else None

    def _keep(self, request: dict[str, Any]) -> None:
        self._open.append(request)
        self._size += len(request["content"])
        while len(self._open) > 1 and (len(self._open) > _MOST or self._size > _SIZE):
            self._size -= len(self._open.popleft()["content"])

    def _request_of(self, metadata: dict[str, Any]) -> dict[str, Any] | None:
        """Return the request that this answers: by its id, or, where a server left that out, the oldest of its name."""
        key = "call_id" if "call_id" in metadata else "name"
        return next((each for each in self._open if each["metadata"].get(key) == metadata.get(key)), None)
