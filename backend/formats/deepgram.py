"""Transcript format `deepgram`: a conversation as Deepgram's `agent.context.messages`, to continue it in a new session.

Deepgram's `Settings` (Voice Agent v1) accept two kinds of history: a text of the user or the assistant, and a function
call together with its result. A function call without a result is left out.
"""

from typing import Any, Final

import orjson
from pydantic import BaseModel, Field

from backend.formats.function_calls import FunctionCall, FunctionCalls
from backend.schemas.deepgram_event import DeepgramHistory
from verbatim_record.vocabulary import Role

_SPOKEN: Final = {Role.USER, Role.ASSISTANT}


class DeepgramContext(BaseModel):
    """The history of a new session."""

    messages: list[DeepgramHistory]


class DeepgramAgent(BaseModel):
    """The settings of the assistant that depend on the conversation."""

    context: DeepgramContext
    greeting: None = Field(
        default=None, description="Present only if the conversation has messages: the user is not greeted again."
    )


class DeepgramSettingsPatch(BaseModel):
    """A merge patch (RFC 7396) for a phone's own `Settings`, to continue the conversation in a new session."""

    agent: DeepgramAgent


class Context:
    """Writes the messages of one conversation, in spoken order."""

    def __init__(self) -> None:
        self._calls = FunctionCalls()

    def write(self, document: bytes) -> bytes:
        """Return the `History` message for ``document`` as JSON, or no bytes if Deepgram has no form for it."""
        message = orjson.loads(document)
        if message["role"] in _SPOKEN:
            past = {"type": "History", "role": message["role"], "content": message["content"]}
            return orjson.dumps(past)
        call = self._calls.take(message) if message["role"] == Role.FUNCTION else None
        return orjson.dumps({"type": "History", "function_calls": [_history_of(call)]}) if call else b""

    def finish(self) -> bytes:
        """Return the bytes after the last message: none."""
        return b""


def _history_of(call: FunctionCall) -> dict[str, Any]:
    client_side, thought = call.asked.get("client_side"), call.asked.get("thought_signature")
    past = {
        "id": call.id,
        "name": call.name,
        "client_side": client_side if isinstance(client_side, bool) else True,
        "arguments": call.arguments,
        "response": call.response,
    }
    return past | ({"thought_signature": thought} if isinstance(thought, str) else {})
