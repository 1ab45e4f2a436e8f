"""A voice pipeline of real Pipecat processors with a scripted model, speech synthesis and output.

The model answers with the next line of the script, or with a function call. The speech synthesis produces a word of
silence every `WORD` seconds. The output transport takes as long as the audio lasts, and plays nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pipecat.frames.frames import (
    Frame,
    FunctionCallFromLLM,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_turn_strategies import ExternalUserTurnStrategies
from pipecat.utils.time import time_now_iso8601

WORD: Final = 0.05  # seconds

_RATE: Final = 16_000
_SILENCE: Final = bytes(int(_RATE * WORD) * 2)


@dataclass(frozen=True)
class ScriptedCall:
    """A function call that the model makes instead of speaking."""

    name: str
    arguments: dict[str, Any]
    result: Any
    id: str = field(default="call_1")


class ScriptedModel(FrameProcessor):  # type: ignore[misc]
    """Answers each request with the next of its ``lines``."""

    def __init__(self, lines: Sequence[str | ScriptedCall]) -> None:
        super().__init__()
        self._lines = list(lines)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Answer a context frame; push all other frames on."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
        elif self._lines:
            line = self._lines.pop(0)
            await (self._call(line) if isinstance(line, ScriptedCall) else self._say(line))

    async def _say(self, line: str) -> None:
        await self.push_frame(LLMFullResponseStartFrame())
        for word in line.split():
            await self.push_frame(LLMTextFrame(f"{word} "))
        await self.push_frame(LLMFullResponseEndFrame())

    async def _call(self, call: ScriptedCall) -> None:
        made = FunctionCallFromLLM(call.name, call.id, call.arguments, None)
        about: dict[str, Any] = {"function_name": call.name, "tool_call_id": call.id, "arguments": call.arguments}
        await self.broadcast_frame(FunctionCallsStartedFrame, function_calls=[made])
        await self.broadcast_frame(FunctionCallInProgressFrame, **about, cancel_on_interruption=True)
        await self.broadcast_frame(FunctionCallResultFrame, **about, result=call.result)


class Voice(FrameProcessor):  # type: ignore[misc]
    """A speech synthesis that produces a word every `WORD` seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._due: int | None = None  # when the next word is to be heard

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Turn the model's text into audio and timed words; push all other frames on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMTextFrame):
            await self._speak(frame.text.strip())
            return
        if isinstance(frame, LLMFullResponseEndFrame):
            await self.push_frame(TTSStoppedFrame())
        if not isinstance(frame, StartFrame):
            self._due = None
        await self.push_frame(frame, direction)

    async def _speak(self, text: str) -> None:
        if self._due is None:
            self._due = self.get_clock().get_time()
            await self.push_frame(TTSStartedFrame())
        self._due += int(WORD * 1e9)
        word = TTSTextFrame(text, text_type="word")
        word.pts = self._due
        await self.push_frame(TTSAudioRawFrame(_SILENCE, _RATE, 1))
        await self.push_frame(word)


class Loudspeaker(BaseOutputTransport):  # type: ignore[misc]
    """An output transport that takes as long as the audio lasts."""

    def __init__(self) -> None:
        super().__init__(TransportParams(audio_out_enabled=True, audio_out_sample_rate=_RATE))

    async def start(self, frame: StartFrame) -> None:
        """Mark the transport as ready."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """Wait for the duration of the audio, and return True: it was played."""
        await asyncio.sleep(len(frame.audio) / 2 / _RATE)
        return True


def pipeline(lines: Sequence[str | ScriptedCall]) -> tuple[Pipeline, LLMContextAggregatorPair]:
    """Return a pipeline whose user turns come from frames, and the two halves of its aggregator."""
    strategies = ExternalUserTurnStrategies()
    pair = LLMContextAggregatorPair(LLMContext(), user_params=LLMUserAggregatorParams(user_turn_strategies=strategies))
    return Pipeline([pair.user(), ScriptedModel(lines), Voice(), Loudspeaker(), pair.assistant()]), pair


def says(text: str) -> list[Frame]:
    """Return the frames of a person who says ``text``."""
    return [
        UserStartedSpeakingFrame(),
        TranscriptionFrame(text, "person", time_now_iso8601()),
        UserStoppedSpeakingFrame(),
    ]
