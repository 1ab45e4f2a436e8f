"""The text that the model generated in a turn of a Pipecat pipeline, and the part of it that was spoken.

Pipecat reports a turn as the text that its assistant aggregator has taken from its queue. An interruption overtakes
that queue, so words that were played already and still wait there are dropped (pipecat#4996). So spoken words are
collected where the output transport pushes them, in step with the audio. The generated text is collected where the
model pushes it, because the rest of an interrupted turn is available nowhere else.

Everything here runs inside the pipeline, in the order of its frames; nothing awaits.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMAssistantPushAggregationFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TextFrame,
    TranscriptionFrame,
    TranslationFrame,
    TTSStartedFrame,
)
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.utils.string import TextPartForConcatenation, concatenate_aggregated_text

_NOT_ASSISTANT: Final = (TranscriptionFrame, InterimTranscriptionFrame, TranslationFrame)
_CUTS: Final = (InterruptionFrame, CancelFrame)
_STOPS: Final = (LLMFullResponseEndFrame, LLMAssistantPushAggregationFrame, EndFrame, *_CUTS)


@dataclass(slots=True)
class AssistantTurn:
    """``generated`` is the text of the model, ``spoken`` the text played before an interruption, empty without one."""

    generated: str = ""
    spoken: str = ""


@dataclass(slots=True)
class Words:
    """Collects the assistant's words in one pipeline."""

    _model: Any = None
    _output: Any = None
    _writing: list[str] = field(default_factory=list)
    _written: dict[int, list[str]] = field(default_factory=dict)  # by id of the frame that began the response
    _speaking: list[TextPartForConcatenation] = field(default_factory=list)
    _cuts: dict[int, str] = field(default_factory=dict)  # spoken text, by id of the frame that interrupted it
    _open: list[str] | None = None  # generated text of the aggregator's current turn
    _closed: deque[AssistantTurn] = field(default_factory=deque)

    def listen(self, user: Any, assistant: Any) -> None:
        """Attach to every processor between the two halves of the aggregator, once the pipeline is linked."""
        processor = self._output = assistant.previous
        while processor is not None:
            if isinstance(processor, BaseOutputTransport):
                self._output = processor
            processor.add_event_handler("on_before_push_frame", self._on_push)
            processor = None if processor is user else processor.previous

    def reaches(self, frame: Frame) -> None:
        """Process a frame that the assistant's aggregator is about to process."""
        if isinstance(frame, LLMFullResponseStartFrame):
            self._open = self._written.pop(frame.id, [])
        elif isinstance(frame, TTSStartedFrame) and frame.append_to_context and self._open is None:
            self._open = []
        elif isinstance(frame, _STOPS) and self._open is not None:
            self._closed.append(AssistantTurn("".join(self._open), self._cuts.pop(frame.id, "")))
            self._open = None
        if isinstance(frame, _CUTS):
            self._cuts.clear()
            self._written.clear()

    def turn(self) -> AssistantTurn:
        """Return the turn that has just ended, and forget it; an empty turn if there is none."""
        return self._closed.popleft() if self._closed else AssistantTurn()

    def _on_push(self, processor: Any, frame: Frame) -> None:
        if isinstance(frame, LLMFullResponseStartFrame):
            self._on_response_start(processor, frame)
        elif isinstance(frame, LLMTextFrame) and processor is self._model:
            self._writing.append(frame.text)
        if processor is self._output:
            self._on_output(frame)

    def _on_response_start(self, processor: Any, frame: LLMFullResponseStartFrame) -> None:
        """Identify the model: the first processor that pushes a response's first frame; the others pass it on."""
        if frame.id not in self._written and processor is (self._model or processor):
            self._model = processor
            self._writing = self._written[frame.id] = []

    def _on_output(self, frame: Frame) -> None:
        if isinstance(frame, LLMFullResponseStartFrame):
            self._speaking = []
        elif isinstance(frame, TextFrame) and not isinstance(frame, _NOT_ASSISTANT) and frame.append_to_context:
            text = getattr(frame, "raw_text", None) or frame.text
            self._speaking.append(TextPartForConcatenation(text, frame.includes_inter_frame_spaces))
        elif isinstance(frame, _CUTS):
            self._cuts[frame.id] = concatenate_aggregated_text(self._speaking)
            self._speaking = []
