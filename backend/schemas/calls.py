"""The two sides of a function call, which are messages of their own here, and one thing to those who went through it.

They meet when the result is reached. A call that has no result, because it was cancelled or the line broke, is no past
yet.
"""

from collections import deque
from typing import Any, NamedTuple


class Call(NamedTuple):
    """A function that was called, and what it answered: two messages."""

    request: dict[str, Any]
    result: dict[str, Any]


class Calls:
    """Takes the messages of the role function in spoken order, and pairs them."""

    def __init__(self) -> None:
        self._open: deque[dict[str, Any]] = deque()

    def take(self, message: dict[str, Any]) -> Call | None:
        """Return the call that ``message`` completes, if it does."""
        metadata = message["metadata"]
        if metadata.get("state") == "requested":
            if {"call_id", "name"} <= metadata.keys():
                self._open.append(message)
            return None
        request = self._request_of(metadata)
        if request is None:
            return None
        self._open.remove(request)
        return Call(request, message) if metadata.get("state") == "completed" else None

    def _request_of(self, metadata: dict[str, Any]) -> dict[str, Any] | None:
        """Return the request that this answers: by its id, or, where a server left that out, the oldest of its name."""
        key = "call_id" if "call_id" in metadata else "name"
        return next((each for each in self._open if each["metadata"].get(key) == metadata.get(key)), None)
