"""Adapter for Pipecat: records the turns of a pipeline in their order.

    attach(recorder, *LLMContextAggregatorPair(context))

Pipecat runs every event handler in a task of its own. Tasks start in the order in which they were created, and these
handlers do not await before the recorder has the message, so the order is kept. Function calls are noticed between two
frames; they are recorded through the event loop's queue, too, so that they do not overtake the turn that has just
ended.
"""

import asyncio
from typing import Any

try:
    from pipecat.frames.frames import (
        Frame,
        FunctionCallCancelFrame,
        FunctionCallInProgressFrame,
        FunctionCallResultFrame,
        StartFrame,
    )
except ImportError as error:
    raise ImportError("Pipecat is not installed: pip install 'verbatim-record[pipecat]'") from error

from verbatim_record.adapters.conversion import take
from verbatim_record.adapters.pipecat_timing import Timing
from verbatim_record.adapters.pipecat_words import Words
from verbatim_record.recorder.recorder import Recorder
from verbatim_record.vocabulary import Role


def attach(recorder: Recorder, user: Any, assistant: Any) -> None:
    """Record the turns of the two halves of an `LLMContextAggregatorPair`; call it before their pipeline runs.

    It records user turns, backchannels of both sides, and function calls with their results. The content of an
    assistant's turn is the text that was spoken. Its ``metadata`` holds whether it was ``interrupted``, the whole text
    of the model if that is longer (``generated_text``), and ``latency`` in milliseconds. Turns of both sides hold when
    they were spoken, ``started_at`` and ``ended_at``.
    """
    listener = _Listener(recorder, user, assistant)
    user.add_event_handler("on_user_turn_message_added", listener.user_turn)
    user.add_event_handler("on_user_backchannel", listener.user_backchannel)
    user.add_event_handler("on_before_push_frame", listener.timing.user_pushes)
    assistant.add_event_handler("on_assistant_turn_stopped", listener.assistant_turn)
    assistant.add_event_handler("on_assistant_backchannel", listener.assistant_backchannel)
    assistant.add_event_handler("on_before_process_frame", listener.frame)


class _Listener:
    def __init__(self, recorder: Recorder, user: Any, assistant: Any) -> None:
        self._recorder = recorder
        self._halves = (user, assistant)
        self._words = Words()
        self.timing = Timing()

    def user_turn(self, _user: Any, message: Any) -> None:
        self._record(Role.USER, message.content, message.timestamp, **self.timing.user_turn())

    def user_backchannel(self, _user: Any, message: Any) -> None:
        self._record(Role.USER, message.content, message.timestamp, behavior="backchannel")

    def assistant_backchannel(self, _assistant: Any, message: Any) -> None:
        self._record(Role.ASSISTANT, message.content, message.timestamp, behavior="backchannel")

    def assistant_turn(self, _assistant: Any, message: Any) -> None:
        turn = self._words.turn()
        heard = message.content or ""
        content = turn.spoken if message.interrupted and len(turn.spoken) > len(heard) else heard
        meant = turn.generated.strip()
        timing = self.timing.assistant_turn()
        if content or meant:
            self._record(
                Role.ASSISTANT,
                content,
                message.timestamp,
                interrupted=message.interrupted,
                generated_text=meant if meant and meant != content.strip() else None,
                **timing,
            )

    def frame(self, _assistant: Any, frame: Frame) -> None:
        """Process a frame that passes the assistant's aggregator; the pipeline calls it between two frames."""
        if isinstance(frame, StartFrame):
            self._words.listen(*self._halves)
        elif isinstance(frame, FunctionCallInProgressFrame):
            self._call(frame, frame.arguments, "requested")
        elif isinstance(frame, FunctionCallResultFrame):
            self._call(frame, frame.result, _state(frame))
        elif isinstance(frame, FunctionCallCancelFrame):
            self._call(frame, "", "cancelled")
        self.timing.assistant_receives(frame)
        self._words.reaches(frame)

    def _call(self, frame: Any, content: object, state: str) -> None:
        def record() -> None:
            self._record(
                Role.FUNCTION, content, None, call_id=frame.tool_call_id, name=frame.function_name, state=state
            )

        asyncio.get_running_loop().call_soon(record)

    def _record(self, role: Role, content: object, timestamp: str | None, **metadata: Any) -> None:
        take(
            self._recorder,
            role,
            "" if content is None else content,
            timestamp=timestamp or None,
            provider="pipecat",
            **metadata,
        )


def _state(frame: FunctionCallResultFrame) -> str:
    if frame.error:
        return "failed"
    return "completed" if frame.properties is None or frame.properties.is_final else "in_progress"
