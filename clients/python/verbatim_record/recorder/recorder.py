"""The recorder: records the messages of a voice pipeline without making the pipeline wait.

`record` does only what must happen at once. It assigns the message an id, a number and a time, and puts it into two
queues; the bytes that are sent in every attempt are made from it once, by the queue that needs them first. The writer's
queue is sent to the service. The spool's queue is written to disk within ``within`` seconds, except messages that are
on record by then. So the pipeline waits for no lock, no await, no file and no network.

Id, number and time are assigned before anything can fail. So a repetition (of a batch, of a process, of a whole spool)
neither duplicates nor reorders messages, and a number that never arrives shows that a message is missing.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from verbatim_record.ids import new_id
from verbatim_record.recorder import metrics, signals, stats  # noqa: F401 -- metrics registers itself
from verbatim_record.recorder.entry import LONGEST_BODY, Entry
from verbatim_record.recorder.faults import CarefulLog, place_of
from verbatim_record.recorder.message_repair import (
    ROLES,
    VOICE,
    encode,
    encoded,
    fault_of,
    outline,
    repair_message,
    snapshot_of,
)
from verbatim_record.recorder.sinks import Sink
from verbatim_record.recorder.spool.spool import Spool
from verbatim_record.recorder.stats import Stats
from verbatim_record.recorder.writer import Writer

_USUAL_LENGTH: Final = 2**16  # characters; a longer text may have to continue in further messages
_OVERHEAD: Final = 300  # bytes of a message as JSON beside its text and its metadata
CLOSE_TIMEOUT: Final = 1.0  # seconds for spool and sink to close, at the end

_Said = tuple[int, Any, Any, Any, Any, Any, Any]  # the number, and the arguments of `record`

log: Final = CarefulLog(logging.getLogger(__name__))


@dataclass(frozen=True, slots=True)
class Limits:
    """The recorder's limits; times in seconds, sizes in bytes.

    A message is on disk ``within`` this time, unless it is on record. ``memory`` bounds the messages that wait to be
    sent and, separately, those that wait for a failing disk; ``disk`` bounds the spool's file. One attempt of the sink
    may take ``patience``. At the end of its block the recorder waits at most ``closing`` for unsent messages.
    """

    within: float = 0.05
    memory: int = 8 * 2**20
    disk: int = 256 * 2**20
    patience: float = 30.0
    closing: float = 5.0


class Recorder:
    """Records the messages of ``conversation_id`` through ``sink``, which it closes at the end.

    ``spool`` is a file for messages that are not on record yet; recorders may share it. ``on_lost`` is called with each
    message (JSON) that `record` does not accept. The reason is either that memory and disk are full, which loses the
    newest messages and never earlier ones, or that the role or the text is invalid; such a message stays in the spool,
    with the reason. At the end it is called with each message that is neither on record nor could be written to disk,
    among them those that the service refused.
    """

    def __init__(  # noqa: PLR0913 -- each is a setting of its own
        self,
        sink: Sink,
        *,
        conversation_id: UUID | str,
        spool: Path,
        voice_session_id: str | None = None,
        limits: Limits | None = None,
        on_lost: Callable[[bytes], None] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._sink = sink
        self.conversation_id = UUID(str(conversation_id))
        self._conversation = str(self.conversation_id)  # orjson encodes text in half the time
        self._voice_session_id = voice_session_id
        self._on_lost = on_lost
        self._spool = Spool(spool, within=self._limits.within, most_bytes=self._limits.disk)
        self._writer = Writer(sink, self._spool, memory=self._limits.memory, patience=self._limits.patience)
        self._task: asyncio.Task[None] | None = None
        self._open = self._is_handing = False
        self._next_id: UUID | None = None  # made before it is needed, because that takes half of a cold `record`
        self._last_number = self._taken = self._refused = self._lost = 0

    async def __aenter__(self) -> Self:
        """Open the spool and start to send, earlier messages first; raises SetupError if it cannot be opened."""
        try:
            left = await self._spool.open()
            try:
                await self._sink.open()
            except BaseException:
                self._spool.close()  # in its thread; otherwise it would keep the messages that it took over
                raise
        except BaseException:
            await self._sink.aclose()
            raise
        self._taken = left.ours
        if left.ours:
            log.info("spool holds %(messages)d messages of an earlier run", {"messages": left.ours})
            self._writer.catch_up(left.since)
        self._task = asyncio.create_task(self._writer.run(), name="writer")
        self._open = True
        stats.watch(self)
        signals.guard(self, self._spool.flush)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the recorder within ``closing`` seconds; see `aclose`."""
        await self.aclose()

    def record(  # noqa: PLR0913 -- a message has that many parts
        self,
        role: str,
        content: str,
        *,
        timestamp: datetime | str | None = None,
        metadata: Mapping[Any, Any] | None = None,
        id: UUID | str | None = None,  # noqa: A002 -- the field's name
        input_modality: str = VOICE,
    ) -> UUID | str | None:
        """Queue one message and return its id at once, or None if it is not accepted; never raises.

        ``timestamp`` is when it was said (RFC 3339 or a datetime with a zone), by default now. Values that cannot be
        sent, except role and text, are repaired, and `metadata.repaired` lists JSON pointers to them. A text of more
        than 1 MiB continues in further messages, which `metadata.part` counts. Call it from the event loop only.
        """
        self._last_number += 1
        at = time.time()
        said = (self._last_number, role, content, timestamp, metadata, id, input_modality)
        try:
            # Of most messages it is certain that they can be sent: they are encoded later, and not by the pipeline.
            if (
                (id is None or type(id) is UUID)
                and type(content) is str
                and len(content) <= _USUAL_LENGTH
                and isinstance(role, str)
                and role in ROLES
                and (timestamp is None or type(timestamp) is str)
                and isinstance(input_modality, str)
            ):
                snapshot = b"" if metadata is None else snapshot_of(metadata)
                if snapshot is not None:
                    identity = id
                    if identity is None:
                        identity, self._next_id = self._next_id or new_id(), None
                    size = _OVERHEAD + len(snapshot) + len(content) * (1 if content.isascii() else 4)
                    entry = Entry(partial(self._encode, said, identity, snapshot, at), at, size)
                    return identity if self._accept(entry) else None
            return self._take(self._message(said), at)
        except Exception as error:  # noqa: BLE001 -- it must not reach the pipeline, and its message may quote content
            self._reject(self._message(said), at, type(error).__name__)
            return None

    def _message(self, said: _Said) -> dict[str, Any]:
        number, role, content, timestamp, metadata, identity, input_modality = said
        return {
            "id": identity,
            "conversation_id": self._conversation,
            "role": role,
            "content": content,
            "input_modality": input_modality,
            "metadata": metadata,
            "timestamp": timestamp,
            "voice_session_id": self._voice_session_id,
            "client_sequence": number,
        }

    def _encode(self, said: _Said, identity: UUID, metadata: bytes, at: float) -> bytes:
        """Return the JSON of a usual message; the writer or the spool's thread calls it, and each gets the same."""
        if self._next_id is None:
            self._next_id = new_id()
        return encoded(self._message(said) | {"id": identity}, metadata, at)

    def _take(self, message: dict[str, Any], at: float) -> UUID | str | None:
        if fault := fault_of(message["role"], message["content"]):
            self._reject(message, at, fault)
            return None
        chosen = message["id"]
        repaired = repair_message(message, at)
        taken = [self._put(each, at) for each in repaired]
        if not all(taken):
            return None
        identity: UUID = repaired[0]["id"]
        return chosen if str(chosen).lower() == str(identity) else identity

    def _put(self, message: dict[str, Any], at: float) -> bool:
        """Queue one repaired message, and return whether it was accepted."""
        body = encode(message)
        if len(body) > LONGEST_BODY:
            self._reject(message, at, "the message is too long")
            return False
        return self._accept(Entry.of(body, at))

    @property
    def stats(self) -> Stats:
        """The recorder's current counts."""
        writer = self._writer
        answered = writer.sent + writer.refused  # first, because a scrape reads this in another thread
        queued = self._taken - answered
        oldest = writer.oldest if queued else None
        waits = time.time() - oldest if oldest else 0.0
        refused = self._refused + writer.refused
        spooled = min(queued, self._spool.rows)  # a message that was sent is deleted from disk a moment later
        return Stats(queued, writer.sent, spooled, refused, self._lost, max(0.0, waits))

    async def aclose(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- late messages are kept
        """Accept no more messages, send the queued ones for up to ``timeout`` seconds, and leave the rest in the spool.

        ``timeout`` is by default the limit ``closing``; closing spool and sink takes at most a second more. Calling it
        twice is safe.
        """
        task, self._task = self._task, None
        if task is None:
            return
        try:
            await asyncio.sleep(0)  # lets event handlers that are scheduled already record their messages
            self._open = False
            most = self._limits.closing if timeout is None else timeout
            async with asyncio.timeout(0 if task.done() else most):  # `asyncio.run` may have cancelled every task
                await self._writer.drained()
        except TimeoutError:
            log.warning("%(messages)d messages are left in the spool", {"messages": self.stats.queued})
        finally:
            self._open = False
            await self._close_parts(task)

    async def _close_parts(self, task: asyncio.Task[None]) -> None:
        self._writer.stop(task)
        saving = self._spool.close()
        saving.add_done_callback(self._report_unsaved)
        closing = asyncio.create_task(self._sink.aclose(), name="sink")
        closing.add_done_callback(_report_unclosed)
        try:
            await _wait_for_all({task, saving, closing}, CLOSE_TIMEOUT)
        finally:
            stats.unwatch(self)
            signals.unguard(self)
            for each, what in ((task, "writer"), (saving, "spool"), (closing, "sink")):
                if not each.done():
                    log.error("the recorder's %(what)s does not close in time", {"what": what})
            task.cancel()
            closing.cancel()  # but not the spool: its thread goes on, and what it cannot write is reported then

    def _report_unsaved(self, saving: asyncio.Future[list[Entry]]) -> None:
        """Pass what no disk has to `on_lost`; what the service refused was counted when it was refused."""
        if saving.cancelled():
            return
        if error := saving.exception():
            log.error("the recorder's spool does not close: %(why)s", {"why": place_of(error)})
            return
        unsaved = saving.result()
        lost = [entry for entry in unsaved if not entry.reason]
        self._taken -= len(lost)
        self._lose(lost)
        self._call_on_lost([entry for entry in unsaved if entry.reason and not entry.reported])

    def _accept(self, entry: Entry) -> bool:
        if not self._open:
            self._count_refusal("the recorder is not open")
            self._call_on_lost([entry])
            return False
        if self._spool.unsaved + entry.size > self._limits.memory:
            self._lose([entry])
            return False
        self._taken += 1
        self._writer.take(entry)
        self._spool.put(entry)
        return True

    def _reject(self, message: Mapping[str, Any], at: float, why: str) -> None:
        """Store an invalid message in the spool, if there is room, and pass it to `on_lost`; never raises."""
        self._count_refusal(why)
        try:
            entry = Entry.of(outline(message), at, reason=why)
        except Exception as error:  # noqa: BLE001 -- as above
            self._warn("message not kept: %(why)s", why=type(error).__name__)
            return
        if self._open and self._spool.unsaved < self._limits.memory:
            self._spool.put(entry)
        self._call_on_lost([entry])

    def _count_refusal(self, why: str) -> None:
        self._refused += 1
        stats.TOTALS["refused"] += 1
        self._warn("message refused: %(why)s", why=why, client_sequence=self._last_number)

    def _lose(self, entries: Sequence[Entry]) -> None:
        """Count, log (without content) and pass to `on_lost` the messages for which memory and disk have no room."""
        if not entries:
            return
        self._lost += len(entries)
        stats.TOTALS["lost"] += len(entries)
        self._warn("%(messages)d messages lost: memory and disk are full", messages=len(entries))
        self._call_on_lost(entries)

    def _call_on_lost(self, entries: Sequence[Entry]) -> None:
        if self._on_lost is None or self._is_handing:  # it may record itself, and would be called without an end
            return
        self._is_handing = True
        try:
            for entry in entries:
                self._hand_over(entry, self._on_lost)
        finally:
            self._is_handing = False

    def _hand_over(self, entry: Entry, on_lost: Callable[[bytes], None]) -> None:
        entry.reported = True
        try:
            on_lost(entry.body)
        except Exception as error:  # noqa: BLE001 -- it must not reach the pipeline
            self._warn("on_lost failed: %(why)s", why=type(error).__name__)

    def _warn(self, what: str, **facts: object) -> None:
        sentence = f"{what} (conversation %(conversation_id)s)"
        log.warning(sentence, {"conversation_id": self._conversation, **facts})


async def _wait_for_all(parts: set[asyncio.Future[Any]], seconds: float) -> None:
    """Wait for ``parts``, at most ``seconds``. If the caller is cancelled meanwhile, that is raised at the end.

    An anyio scope that is cancelled cancels every await in it, and what is left undone then is never done.
    """
    until = time.monotonic() + seconds
    cancelled = None
    while (late := [each for each in parts if not each.done()]) and (left := until - time.monotonic()) > 0:
        try:
            await asyncio.wait(late, timeout=left)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled


def _report_unclosed(closing: asyncio.Task[None]) -> None:
    error = asyncio.CancelledError() if closing.cancelled() else closing.exception()
    if error:
        log.error("the recorder's sink does not close: %(why)s", {"why": place_of(error)})
