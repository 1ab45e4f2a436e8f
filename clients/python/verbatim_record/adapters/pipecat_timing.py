"""When the two sides of a Pipecat pipeline spoke, and how long an answer took.

A user's speech begins and ends where voice activity detection places it (its frames tell after how much speech or
silence it was sure), else where Pipecat's turn begins and ends. The assistant's speech begins when the output transport
begins to play, and ends when its turn does: the frame that ends a turn waits in the transport behind the turn's audio.
The latency of an answer is the time from the end of the user's speech to the beginning of the assistant's.

Moments are read from the clock. Durations are measured by the monotonic clock, since a clock may be set meanwhile.
"""

import time
from dataclasses import dataclass, field
from typing import Any, Final

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    Frame,
    MetricsFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import TTFBMetricsData

from verbatim_record.adapters.conversion import latency, moment

# By what the names of Pipecat's services contain, such as `DeepgramSTTService#0`.
_STAGES: Final = {"STTService": "stt", "LLMService": "llm", "TTSService": "tts"}


@dataclass(slots=True)
class Timing:
    """The moments and latencies of the current turns; `user_turn` and `assistant_turn` hand them out once."""

    _user_began: float | None = None  # in seconds since 1970
    _user_ended: float | None = None
    _silent_since: float | None = None  # the end of the user's speech, by the monotonic clock in seconds
    _assistant_began: float | None = None
    _total: float | None = None  # seconds
    _stages: dict[str, float] = field(default_factory=dict)  # seconds until the first output of each stage

    def user_pushes(self, _user: Any, frame: Frame) -> None:
        """Process a frame that the user's aggregator pushes."""
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._begin(frame.start_secs)
        elif isinstance(frame, UserStartedSpeakingFrame):
            self._begin(0.0)
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._end(frame.stop_secs)
        elif isinstance(frame, UserStoppedSpeakingFrame) and self._silent_since is None:
            self._end(0.0)

    def assistant_receives(self, frame: Frame) -> None:
        """Process a frame that reaches the assistant's aggregator."""
        if isinstance(frame, BotStartedSpeakingFrame):
            self._assistant_began = time.time()
            if self._silent_since is not None:
                self._total = time.monotonic() - self._silent_since
                self._silent_since = None
        elif isinstance(frame, MetricsFrame):
            for data in frame.data:
                if isinstance(data, TTFBMetricsData) and data.value:
                    self._note_stage(data.processor, data.value)

    def user_turn(self) -> dict[str, Any]:
        """Return `started_at` and `ended_at` of the user's turn that has just been recorded, where they are known."""
        began, self._user_began = self._user_began, None
        ended, self._user_ended = self._user_ended, None
        return {"started_at": moment(began), "ended_at": moment(ended)}

    def assistant_turn(self) -> dict[str, Any]:
        """Return the same of the assistant's turn that has just ended, and its `latency`."""
        began, self._assistant_began = self._assistant_began, None
        total, self._total = self._total, None
        stages, self._stages = self._stages, {}
        ended = None if began is None else time.time()
        return {
            "started_at": moment(began),
            "ended_at": moment(ended),
            "latency": latency(total=total, **stages),
        }

    def _begin(self, after: float) -> None:
        """Note that the user began to speak ``after`` seconds ago, unless the beginning is known already."""
        if self._user_began is None:
            self._user_began = time.time() - after
        self._user_ended = self._silent_since = None

    def _end(self, after: float) -> None:
        self._user_ended = time.time() - after
        self._silent_since = time.monotonic() - after

    def _note_stage(self, processor: str, seconds: float) -> None:
        """Keep the first latency of a stage in a turn: a second inference after a function call is not the answer's."""
        for name, stage in _STAGES.items():
            if name in processor:
                self._stages.setdefault(stage, seconds)
