"""A LiveKit session in text mode, whose model follows a script."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from livekit.agents import Agent, function_tool
from livekit.agents.llm import LLM, ChatChunk, ChoiceDelta, FunctionToolCall, LLMStream
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

WORD: Final = 0.02  # seconds


@dataclass(frozen=True)
class ScriptedCall:
    """A function call that the model makes instead of speaking."""

    name: str
    arguments: str
    id: str = "call_1"


class ScriptedModel(LLM):  # type: ignore[misc]
    """Answers each request with the next of its ``lines``."""

    def __init__(self, lines: Sequence[str | ScriptedCall]) -> None:
        super().__init__()
        self.lines = list(lines)

    def chat(
        self, *, chat_ctx: Any, tools: Any = None, conn_options: Any = DEFAULT_API_CONNECT_OPTIONS, **_: Any
    ) -> "_Answer":
        """Return the next answer."""
        return _Answer(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Answer(LLMStream):  # type: ignore[misc]
    async def _run(self) -> None:
        line = self._llm.lines.pop(0)
        if isinstance(line, ScriptedCall):
            call = FunctionToolCall(name=line.name, arguments=line.arguments, call_id=line.id)
            self._event_ch.send_nowait(_chunk(tool_calls=[call]))
            return
        for word in line.split():
            self._event_ch.send_nowait(_chunk(content=f"{word} "))
            await asyncio.sleep(WORD)


def _chunk(**delta: Any) -> ChatChunk:
    return ChatChunk(id="answer", delta=ChoiceDelta(role="assistant", **delta))


class Diary(Agent):  # type: ignore[misc]
    """An agent with a function to call."""

    def __init__(self) -> None:
        super().__init__(instructions="Keep the diary.")

    @function_tool  # type: ignore[untyped-decorator]
    async def find_slot(self, day: str) -> str:
        """Return the time of a free slot on ``day``; raises ValueError if it is "never"."""
        if day == "never":
            raise ValueError(day)
        return "09:00"
