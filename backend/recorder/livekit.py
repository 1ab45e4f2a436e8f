"""Adapter for LiveKit Agents: records the messages of a session in the order of its events.

    attach(recorder, session)

LiveKit calls listeners one after the other and does not let them await, so messages are recorded in the order of the
events. LiveKit's items have ids; a message's id derives from the item's and the conversation's, so an item that is
reported again, even in another process, is not recorded twice.
"""

from datetime import UTC, datetime
from numbers import Real
from typing import Any
from uuid import uuid5

import structlog

try:
    from livekit.agents import AgentSession
except ImportError as error:
    raise ImportError("LiveKit Agents is not installed: pip install 'verbatim-server[livekit]'") from error

from backend.recorder.conversion import take
from backend.recorder.recorder import Recorder
from backend.schemas.repair import storable
from backend.vocabulary import Role

log = structlog.get_logger(__name__)


def attach(recorder: Recorder, session: AgentSession) -> None:
    """Record the messages of ``session``, and its function calls with their results, until it closes.

    The content of an assistant's message is the text that the user heard; ``metadata`` holds whether it was
    ``interrupted``, LiveKit's id (``item_id``), confidence and metrics.
    """
    _Listener(recorder, session)


class _Listener:
    def __init__(self, recorder: Recorder, session: AgentSession) -> None:
        self._recorder = recorder
        self._session = session
        self._heard: set[str] = set()
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
        self._record(
            item,
            role,
            (item.text_content or "").strip(),
            interrupted=item.interrupted if role == Role.ASSISTANT else None,
            confidence=item.transcript_confidence,
            metrics={name: value for name, value in item.metrics.items() if isinstance(value, Real)} or None,
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
        log.info("session closed", reason=event.reason.value, conversation_id=str(self._recorder.conversation_id))

    def _record(self, item: Any, role: str, content: object, **metadata: Any) -> None:
        if item.id in self._heard:
            return
        self._heard.add(item.id)
        take(
            self._recorder,
            role,
            content,
            id=uuid5(self._recorder.conversation_id, storable(item.id)),
            timestamp=_moment(item.created_at),
            item_id=item.id,
            **metadata,
        )


def _moment(seconds: float) -> datetime | str:
    """Return LiveKit's time as a datetime, or as text if it is not a valid one, so that the recorder repairs it."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return str(seconds)
