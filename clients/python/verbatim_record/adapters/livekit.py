"""Adapter for LiveKit Agents: records the messages of a session in the order of its events.

    attach(recorder, session)

LiveKit calls listeners one after the other and does not let them await, so messages are recorded in the order of the
events. LiveKit's items have ids; a message's id derives from the item's and the conversation's, so an item that is
reported again, even in another process, is not recorded twice.
"""

import logging
from collections.abc import Mapping
from numbers import Real
from typing import Any, Final
from uuid import uuid5

try:
    from livekit.agents import AgentSession
except ImportError as error:
    raise ImportError("LiveKit Agents is not installed: pip install 'verbatim-record[livekit]'") from error

from verbatim_record.adapters.conversion import latency, moment, take
from verbatim_record.recorder.recorder import Recorder
from verbatim_record.repair import storable
from verbatim_record.vocabulary import Role

log: Final = logging.getLogger(__name__)


def attach(recorder: Recorder, session: AgentSession) -> None:
    """Record the messages of ``session``, and its function calls with their results, until it closes.

    The content of an assistant's message is the text that the user heard; ``metadata`` holds whether it was
    ``interrupted``, ``latency`` in milliseconds, LiveKit's id (``item_id``), confidence and metrics. Messages of both
    sides hold when they were spoken, ``started_at`` and ``ended_at``.
    """
    _Listener(recorder, session)


class _Listener:
    def __init__(self, recorder: Recorder, session: AgentSession) -> None:
        self._recorder = recorder
        self._session = session
        self._heard: set[str] = set()
        self._transcribed: float | None = None  # seconds that the transcript of the user's last turn took
        self._events = {
            "conversation_item_added": self._item,
            "function_tools_executed": self._functions,
            "close": self._close,
        }
        for name, listener in self._events.items():
            session.on(name, listener)

    def _item(self, event: Any) -> None:
        item = event.item
        if item.type != "message":  # such as the handover to another agent
            return
        role = item.role if item.role in {Role.USER, Role.ASSISTANT} else Role.SYSTEM
        metrics = {name: float(value) for name, value in item.metrics.items() if isinstance(value, Real)}
        self._record(
            item,
            role,
            (item.text_content or "").strip(),
            interrupted=item.interrupted if role == Role.ASSISTANT else None,
            confidence=item.transcript_confidence,
            started_at=moment(metrics.get("started_speaking_at")),
            ended_at=moment(metrics.get("stopped_speaking_at")),
            latency=self._latency(role, metrics),
            metrics=metrics or None,
        )

    def _latency(self, role: str, metrics: Mapping[str, float]) -> dict[str, int] | None:
        """Return the latency of an assistant's message; LiveKit tells that of the transcript with the user's."""
        if role == Role.USER:
            self._transcribed = metrics.get("transcription_delay")
        if role != Role.ASSISTANT:
            return None
        transcribed, self._transcribed = self._transcribed, None
        return latency(
            total=metrics.get("e2e_latency"),
            stt=transcribed,
            llm=metrics.get("llm_node_ttft"),
            tts=metrics.get("tts_node_ttfb"),
        )

    def _functions(self, event: Any) -> None:
        for call, output in event.zipped():
            about = {"call_id": call.call_id, "name": call.name}
            self._record(call, Role.FUNCTION, call.arguments, **about, state="requested")
            if output is not None:
                state = "failed" if output.is_error else "completed"
                self._record(output, Role.FUNCTION, output.output, **about, state=state)

    def _close(self, event: Any) -> None:
        for name, listener in self._events.items():
            self._session.off(name, listener)
        log.info(
            "session of conversation %(conversation_id)s closed: %(reason)s",
            {"conversation_id": str(self._recorder.conversation_id), "reason": event.reason.value},
        )

    def _record(self, item: Any, role: str, content: object, **metadata: Any) -> None:
        if item.id in self._heard:
            return
        self._heard.add(item.id)
        take(
            self._recorder,
            role,
            content,
            id=uuid5(self._recorder.conversation_id, storable(item.id)),
            timestamp=moment(item.created_at) or str(item.created_at),  # the recorder repairs what is no time
            provider="livekit",
            item_id=item.id,
            **metadata,
        )
