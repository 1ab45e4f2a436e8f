"""The strict variant of the format `openai`: messages in the one order that every chat template and API accepts.

That order is: perhaps one `system` message, then `user` and `assistant` in turns, beginning with `user`. `assistant`
may call functions in a turn, and each call is followed by its `tool` message, then by a message of `assistant`.
Templates of Gemma, Llama and Mistral raise an error for any other order, and APIs answer 400. So:

- neighbours of one role become one message, with an empty line between their texts; empty texts are left out;
- calls wait for what the assistant says next, because a user who speaks after a call comes before its result is used;
  they are joined to what the assistant said before, if nothing was said in between;
- an instruction (`system`) that comes after the first words is a message of `user`;
- if the assistant speaks first, a message of `user` says so.

A text may be of any length, so it is written piece by piece, and only calls are held in memory.
"""

from collections import deque
from typing import Final

import orjson

from backend.formats.function_calls import FunctionCall, FunctionCalls
from backend.formats.openai import tool_call_messages
from verbatim_record.vocabulary import Role

_OPENING: Final = "(The assistant speaks first.)"
_MOST: Final = 2**20  # characters of calls that wait for the assistant's next words; of more, the oldest are left out


class StrictChat:
    """Writes the messages of one conversation, in spoken order, with the commas between them."""

    def __init__(self) -> None:
        self._calls = FunctionCalls()
        self._waiting: deque[FunctionCall] = deque()
        self._size = 0
        self._open: str | None = None  # the role of the message whose text is not closed yet
        self._begun = False  # a message was written
        self._spoken = False  # one that is not of `system`

    def write(self, document: bytes) -> bytes:
        """Return the pieces of chat messages that ``document`` completes; may be empty."""
        message = orjson.loads(document)
        if message["role"] == Role.FUNCTION:
            if call := self._calls.take(message):
                self._wait(call)
            return b""
        said: str = message["content"].strip()
        if not said:
            return b""
        role = message["role"]
        if role == Role.SYSTEM and self._spoken:
            role = Role.USER
        if role == Role.ASSISTANT:
            return self._called() + self._said(role, said)
        return self._said(role, said)

    def finish(self) -> bytes:
        """Return the calls that still wait, which the model is to go on from, and the end of the last message."""
        return self._called() + self._closed()

    def _said(self, role: str, text: str) -> bytes:
        written = orjson.dumps(text)[1:-1]
        if role == self._open:
            return rb"\n\n" + written
        opening = self._opened(role)
        self._open = role
        return opening + orjson.dumps({"role": role, "content": ""})[:-2] + written

    def _opened(self, role: str) -> bytes:
        """Return what stands before a new message of ``role``."""
        before = self._closed()
        if role == Role.ASSISTANT and not self._spoken:
            before += self._comma() + orjson.dumps({"role": Role.USER, "content": _OPENING})
        self._spoken = self._spoken or role != Role.SYSTEM
        return before + self._comma()

    def _comma(self) -> bytes:
        comma = b"," if self._begun else b""
        self._begun = True
        return comma

    def _closed(self) -> bytes:
        closed = b'"}' if self._open else b""
        self._open = None
        return closed

    def _called(self) -> bytes:
        """Return the calls that wait, the first joined to the open message if that is the assistant's."""
        written = b""
        while self._waiting:
            asked, answered = tool_call_messages(self._waiting.popleft())
            if self._open == Role.ASSISTANT:
                written += b'","tool_calls":' + orjson.dumps(asked["tool_calls"]) + b"}"
                self._open = None
            else:
                written += self._opened(Role.ASSISTANT) + orjson.dumps(asked)
            written += b"," + orjson.dumps(answered)
        self._size = 0
        return written

    def _wait(self, call: FunctionCall) -> None:
        call = call if call.arguments.strip() else call._replace(arguments="{}")
        self._waiting.append(call)
        self._size += len(call.arguments) + len(call.response)
        while len(self._waiting) > 1 and self._size > _MOST:
            left = self._waiting.popleft()
            self._size -= len(left.arguments) + len(left.response)
