"""A conversation as Deepgram's `agent.context.messages`, with which an assistant goes on where another stopped.

Deepgram knows two kinds of past (Voice Agent v1, `Settings`): a text of the user's or the assistant's, and a function
call with its result, in one piece. A call that has no result is left out.
"""

from typing import Any, Final

import orjson
from pydantic import BaseModel, Field, JsonValue

from backend.formats.function_calls import FunctionCall, FunctionCalls
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
        self._calls = FunctionCalls()

    def write(self, document: bytes) -> bytes:
        """Return what Deepgram is to remember of a message, as JSON; nothing if it is no past of its kind."""
        message = orjson.loads(document)
        if message["role"] in _SPOKEN:
            past = {"type": "History", "role": message["role"], "content": message["content"]}
            return orjson.dumps(past)
        call = self._calls.take(message) if message["role"] == Role.FUNCTION else None
        return orjson.dumps({"type": "History", "function_calls": [_past(call)]}) if call else b""

    def rest(self) -> bytes:
        """Return what comes after the last message."""
        return b""


def _past(call: FunctionCall) -> dict[str, Any]:
    client_side, thought = call.asked.get("client_side"), call.asked.get("thought_signature")
    past = {
        "id": call.id,
        "name": call.name,
        "client_side": client_side if isinstance(client_side, bool) else True,
        "arguments": call.arguments,
        "response": call.response,
    }
    return past | ({"thought_signature": thought} if isinstance(thought, str) else {})
