"""Transcript format `openai`: a conversation as messages of OpenAI's Chat Completions and compatible APIs.

A function call becomes two consecutive messages: the assistant's with `tool_calls`, and the `tool` message with the
result. A function call without a result is left out, because these APIs refuse it. `strict_chat` is a variant for the
models that accept only one order of messages.
"""

from typing import Any, Literal

import orjson
from pydantic import BaseModel, Field

from backend.formats.function_calls import FunctionCall, FunctionCalls
from verbatim_record.vocabulary import Role


class OpenAIFunction(BaseModel):
    """A function with its arguments."""

    name: str
    arguments: str


class OpenAIToolCall(BaseModel):
    """The call of a function."""

    id: str
    type: Literal["function"]
    function: OpenAIFunction


class OpenAIText(BaseModel):
    """What a person or the assistant said, or an instruction."""

    role: Literal["user", "assistant", "system"]
    content: str


class OpenAIToolCalls(BaseModel):
    """The assistant calls a function."""

    role: Literal["assistant"]
    content: str | None = Field(description="What the assistant said before the call; only with `strict`, else null.")
    tool_calls: list[OpenAIToolCall]


class OpenAIToolResult(BaseModel):
    """The result of a function call."""

    role: Literal["tool"]
    tool_call_id: str
    content: str


class OpenAIChat(BaseModel):
    """The messages to send to a model, which continues the conversation."""

    messages: list[OpenAIText | OpenAIToolCalls | OpenAIToolResult]


class Chat:
    """Writes the messages of one conversation, in spoken order."""

    def __init__(self) -> None:
        self._calls = FunctionCalls()

    def write(self, document: bytes) -> bytes:
        """Return the chat messages that ``document`` completes, as JSON separated by commas; may be empty."""
        message = orjson.loads(document)
        if message["role"] != Role.FUNCTION:
            return orjson.dumps({"role": message["role"], "content": message["content"]})
        call = self._calls.take(message)
        return b",".join(map(orjson.dumps, tool_call_messages(call))) if call else b""

    def finish(self) -> bytes:
        """Return the bytes after the last message: none."""
        return b""


def tool_call_messages(call: FunctionCall) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the assistant's message that calls the function, and the message with its result."""
    function = {"name": call.name, "arguments": call.arguments}
    return (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call.id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": call.response},
    )
