"""What the assistant meant to say in a turn of a Pipecat pipeline, and what was heard of it.

Pipecat's own account of a turn is what its assistant aggregator has taken out of its queue. An interruption overtakes
that queue: words that were played already, and still wait there, are dropped with it (pipecat#4996). So words are
noted where the output transport lets them go, in step with the sound, before any queue. And what the model wrote is
noted where the model hands it over, because of an interrupted turn the rest is nowhere else.

Everything here runs inside the pipeline, in its order, between two frames; nothing awaits.
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
    """``generated`` is what the model wrote, ``spoken`` what had been released when the turn was cut, if it was."""

    generated: str = ""
    spoken: str = ""


@dataclass(slots=True)
class Words:
    """Follows the assistant's words on their way through one pipeline."""

    _model: Any = None
    _mouth: Any = None
    _writing: list[str] = field(default_factory=list)
    _written: dict[int, list[str]] = field(default_factory=dict)  # by the frame that began the response
    _speaking: list[TextPartForConcatenation] = field(default_factory=list)
    _cuts: dict[int, str] = field(default_factory=dict)  # by the frame that cut it
    _open: list[str] | None = None  # what was written for the turn that the aggregator has open
    _closed: deque[AssistantTurn] = field(default_factory=deque)

    def listen(self, user: Any, assistant: Any) -> None:
        """Hear every processor between the two halves of the aggregator; once the pipeline is linked."""
        processor = self._mouth = assistant.previous
        while processor is not None:
            if isinstance(processor, BaseOutputTransport):
                self._mouth = processor
            processor.add_event_handler("on_before_push_frame", self._pushed)
            processor = None if processor is user else processor.previous

    def reaches(self, frame: Frame) -> None:
        """Note what the assistant's aggregator is about to take."""
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
        """Return the turn that has just ended."""
        return self._closed.popleft() if self._closed else AssistantTurn()

    def _pushed(self, processor: Any, frame: Frame) -> None:
        if isinstance(frame, LLMFullResponseStartFrame):
            self._begins(processor, frame)
        elif isinstance(frame, LLMTextFrame) and processor is self._model:
            self._writing.append(frame.text)
        if processor is self._mouth:
            self._released(frame)

    def _begins(self, processor: Any, frame: LLMFullResponseStartFrame) -> None:
        """Find out who writes a response: who lets go of its first frame first; the others pass it on."""
        if frame.id not in self._written and processor is (self._model or processor):
            self._model = processor
            self._writing = self._written[frame.id] = []

    def _released(self, frame: Frame) -> None:
        if isinstance(frame, LLMFullResponseStartFrame):
            self._speaking = []
        elif isinstance(frame, TextFrame) and not isinstance(frame, _NOT_ASSISTANT) and frame.append_to_context:
            text = getattr(frame, "raw_text", None) or frame.text
            self._speaking.append(TextPartForConcatenation(text, frame.includes_inter_frame_spaces))
        elif isinstance(frame, _CUTS):
            self._cuts[frame.id] = concatenate_aggregated_text(self._speaking)
            self._speaking = []
