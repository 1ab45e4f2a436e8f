"""A conversation as Deepgram's `agent.context.messages`, with which an assistant goes on where another stopped.

Deepgram knows two kinds of past (Voice Agent v1, `Settings`): a text of the user's or the assistant's, and a function
call with its result, in one piece. Here the two sides of a call are messages of their own; they meet when the result is
reached. A call that has no result, because it was cancelled or the line broke, is no past yet, and is left out.
"""

from collections import deque
from typing import Any, Final

import orjson
from pydantic import BaseModel, Field, JsonValue

from backend.vocabulary import Role

_SPOKEN: Final = {Role.USER, Role.ASSISTANT}


class DeepgramContext(BaseModel):
    """What an assistant is to remember."""

    messages: list[dict[str, JsonValue]] = Field(description="Each a `History` of Deepgram's.")


class DeepgramAgent(BaseModel):
    """What of an assistant's settings depends on what has been said."""

    context: DeepgramContext
    greeting: None = Field(default=None, description="Only where something has been said: nobody is greeted again.")


class DeepgramSettings(BaseModel):
    """A merge patch (RFC 7396) for a phone's own `Settings`, with which its assistant goes on where another stopped."""

    agent: DeepgramAgent


class Context:
    """Writes one message of a conversation after the other."""

    def __init__(self) -> None:
        self._open: deque[dict[str, Any]] = deque()

    def write(self, document: str) -> bytes:
        """Return what Deepgram is to remember of a message, as JSON; nothing if it is no past of its kind."""
        message = orjson.loads(document)
        if message["role"] in _SPOKEN:
            past = {"type": "History", "role": message["role"], "content": message["content"]}
            return orjson.dumps(past)
        call = self._call(message) if message["role"] == Role.FUNCTION else None
        return orjson.dumps({"type": "History", "function_calls": [call]}) if call else b""

    def _call(self, message: dict[str, Any]) -> dict[str, Any] | None:
        metadata = message["metadata"]
        if metadata.get("state") == "requested":
            if {"call_id", "name"} <= metadata.keys():
                self._open.append(message)
            return None
        request = self._request_of(metadata)
        if request is None:
            return None
        self._open.remove(request)
        if metadata.get("state") != "completed":
            return None
        return _past(request, message["content"])

    def _request_of(self, metadata: dict[str, Any]) -> dict[str, Any] | None:
        """Return the request that this answers: by its id, or, where a server left that out, the oldest of its name."""
        key = "call_id" if "call_id" in metadata else "name"
        return next((each for each in self._open if each["metadata"].get(key) == metadata.get(key)), None)


def _past(request: dict[str, Any], response: str) -> dict[str, Any]:
    asked = request["metadata"]
    call = {
        "id": asked["call_id"],
        "name": asked["name"],
        "client_side": asked.get("client_side", True),
        "arguments": request["content"],
        "response": response,
    }
    return call | ({"thought_signature": asked["thought_signature"]} if "thought_signature" in asked else {})
