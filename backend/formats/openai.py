"""A conversation as chat messages, as OpenAI's Chat Completions and all that speak like it take them.

There a call and its result stand together: an assistant's message with `tool_calls`, and right behind it the `tool`'s.
What of a function has no result yet is left out, since no model would take it.
"""

from typing import Any

import orjson
from pydantic import BaseModel, JsonValue

from backend.formats.function_calls import FunctionCall, FunctionCalls
from backend.vocabulary import Role


class OpenAIChat(BaseModel):
    """What a model is asked to go on from."""

    messages: list[dict[str, JsonValue]]


class Chat:
    """Writes one message of a conversation after the other."""

    def __init__(self) -> None:
        self._calls = FunctionCalls()

    def write(self, document: bytes) -> bytes:
        """Return what a model is told of a message, as JSON; nothing if it is to be told of it later, or not at all."""
        message = orjson.loads(document)
        if message["role"] != Role.FUNCTION:
            return orjson.dumps({"role": message["role"], "content": message["content"]})
        call = self._calls.take(message)
        return b",".join(map(orjson.dumps, _told(call))) if call else b""

    def rest(self) -> bytes:
        """Return what comes after the last message."""
        return b""


def _told(call: FunctionCall) -> tuple[dict[str, Any], dict[str, Any]]:
    function = {"name": call.name, "arguments": call.arguments}
    return (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call.id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": call.response},
    )
