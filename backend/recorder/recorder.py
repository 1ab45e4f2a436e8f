"""The recorder: what is said in a voice pipeline goes on record, and the pipeline never waits for it.

`record` does what must be done at once and nothing else: it gives the message its identity, its number and its time,
writes it down as the bytes that will be sent, however often, and drops them into two boxes. One is the writer's, who
sends; the other is the spool's, who has it on disk before ``within`` seconds are over, unless it is on record by then.
No lock, no await, no file, no network is between a word and the next.

Identity, number and time are stamped before anything can fail, so whatever is repeated later (a batch, a process, a
whole spool) can neither double nor reorder what was said; and a number that never arrives tells that there was one.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import orjson
import structlog

from backend.observability import metrics
from backend.recorder import signals, stats
from backend.recorder.entry import LONGEST_BODY, Entry
from backend.recorder.message_repair import VOICE, fault_of, mend, outline
from backend.recorder.sinks import Sink
from backend.recorder.spool import Spool
from backend.recorder.stats import Stats
from backend.recorder.writer import Writer

GRACE: Final = 1.0  # seconds for the disk, when closing

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much. Times in seconds, sizes in bytes.

    A message is on disk ``within`` this time, unless it is on record. ``memory`` bounds what waits to be sent,
    and once more what waits there for a disk that fails; ``disk`` bounds the spool's file. One attempt of the sink may
    last ``patience``. Leaving the recorder's block waits at most ``closing`` for what is not on record yet.
    """

    within: float = 0.05
    memory: int = 8 * 2**20
    disk: int = 256 * 2**20
    patience: float = 30.0
    closing: float = 5.0


class Recorder:
    """Puts what is said in ``conversation_id`` on record, through ``sink``, which it closes in the end.

    ``spool`` is a file for what is not on record yet; recorders may share it. ``on_lost`` is called with each message
    (JSON) that `record` does not take: for want of room in memory and on disk, which befalls the newest ones and never
    what was said before; or because it has no role or no text, and then it stays in the spool, too, with the reason.
    """

    def __init__(  # noqa: PLR0913 -- what, where to, and what if not
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
        self._conversation = str(self.conversation_id)  # text is written in half the time
        self._voice_session_id = voice_session_id
        self._on_lost = on_lost
        self._spool = Spool(spool, within=self._limits.within, most_bytes=self._limits.disk)
        self._writer = Writer(sink, self._spool, memory=self._limits.memory, patience=self._limits.patience)
        self._task: asyncio.Task[None] | None = None
        self._open = False
        self._said = self._taken = self._refused = self._lost = 0

    async def __aenter__(self) -> Self:
        """Open the spool, and begin to send, first what was left there; raises SetupError when there can be none."""
        try:
            left = await self._spool.open()
        except BaseException:
            await self._sink.aclose()
            raise
        self._taken = left.ours
        if left.ours:
            log.info("spool holds messages of an earlier run", messages=left.ours)
            self._writer.catch_up(left.since)
        self._task = asyncio.create_task(self._writer.run(), name="writer")
        self._open = True
        stats.watch(self)
        signals.guard(self, self._spool.flush)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, within the time that the limits give."""
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
        """Take one message and return its id at once, or None when it is not taken; nothing is ever raised.

        ``timestamp`` is when it was said (RFC 3339 or a datetime with a zone), now if left out. What cannot be sent as
        it is, beside the role, is repaired, and `metadata.repaired` lists JSON pointers into the message. A text beyond
        1 MiB goes on in further messages, which `metadata.part` counts. From inside the event loop alone.
        """
        self._said += 1
        at = time.time()
        message = {
            "id": id,
            "conversation_id": self._conversation,
            "role": role,
            "content": content,
            "input_modality": input_modality,
            "metadata": metadata,
            "timestamp": timestamp,
            "voice_session_id": self._voice_session_id,
            "client_sequence": self._said,
        }
        try:
            return self._take(message, at)
        except Exception as error:  # noqa: BLE001 -- the speaker must not hear of it, and its message may quote them
            self._turn_away(message, at, type(error).__name__)
            return None

    def _take(self, message: dict[str, Any], at: float) -> UUID | str | None:
        if fault := fault_of(message["role"], message["content"]):
            self._turn_away(message, at, fault)
            return None
        chosen = message["id"]
        mended = mend(message, at)
        taken = [self._put(each, at) for each in mended]
        if not all(taken):
            return None
        identity: UUID = mended[0]["id"]
        return chosen if str(chosen).lower() == str(identity) else identity

    def _put(self, message: dict[str, Any], at: float) -> bool:
        """Tell whether a message that was mended is taken."""
        written = orjson.dumps(message)
        body = bytes(memoryview(written))  # a copy, because orjson keeps 4 KiB for what it gives, however short
        if len(body) > LONGEST_BODY:
            self._turn_away(message, at, "it is too long")
            return False
        return self._accept(Entry(body, at))

    @property
    def stats(self) -> Stats:
        """How it stands, now."""
        writer = self._writer
        queued = self._taken - writer.sent - writer.refused
        waits = time.time() - writer.oldest if queued and writer.oldest else 0.0
        refused = self._refused + writer.refused
        spooled = min(queued, self._spool.rows)  # what is sent leaves the disk a moment later
        return Stats(queued, writer.sent, spooled, refused, self._lost, max(0.0, waits))

    async def aclose(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- what is late is kept, not failed
        """Take no more, send what there is within ``timeout`` seconds, and leave the rest in the spool.

        That takes a second more at most. Safe to call twice.
        """
        task, self._task = self._task, None
        if task is None:
            return
        await asyncio.sleep(0)  # handlers that were called before have their say
        self._open = False
        try:
            async with asyncio.timeout(self._limits.closing if timeout is None else timeout):
                await self._writer.idle.wait()
        except TimeoutError:
            log.warning("messages are left in the spool", messages=self.stats.queued)
        finally:
            await self._let_go(task)

    async def _let_go(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        saving = asyncio.create_task(self._spool.close(), name="spool")
        closing = asyncio.create_task(self._sink.aclose(), name="sink")
        try:
            _, late = await asyncio.wait({task, saving, closing}, timeout=GRACE)
        finally:
            stats.unwatch(self)
            signals.unguard(self)
        for each in late:
            each.cancel()
            log.error("recorder does not close in time", what=each.get_name())
        for each in {saving, closing} - late:
            if error := each.exception():
                log.error("recorder does not close", what=each.get_name(), why=type(error).__name__)
        if saving not in late and not saving.exception():
            unsaved = [entry for entry in saving.result() if not entry.reason]
            self._taken -= len(unsaved)
            self._lose(unsaved)

    def _accept(self, entry: Entry) -> bool:
        if not self._open:
            self._refuse("the recorder is not open")
            self._hand_over([entry])
            return False
        if self._spool.unsaved + len(entry.body) > self._limits.memory:
            self._lose([entry])
            return False
        self._taken += 1
        self._writer.take(entry)
        self._spool.put(entry)
        return True

    def _turn_away(self, message: Mapping[str, Any], at: float, why: str) -> None:
        """Keep what can be no message in the spool, where there is room, and hand it to `on_lost`; never raises."""
        self._refuse(why)
        try:
            entry = Entry(outline(message), at, reason=why)
        except Exception as error:  # noqa: BLE001 -- as above
            self._say("message not kept", why=type(error).__name__)
            return
        if self._open and self._spool.unsaved < self._limits.memory:
            self._spool.put(entry)
        self._hand_over([entry])

    def _refuse(self, why: str) -> None:
        self._refused += 1
        metrics.RECORDER_REFUSED.inc()
        self._say("message refused", why=why, client_sequence=self._said)

    def _lose(self, entries: Sequence[Entry]) -> None:
        """Say, as loudly as can be without the words, that there is room for these nowhere."""
        if not entries:
            return
        self._lost += len(entries)
        metrics.RECORDER_LOST.inc(len(entries))
        self._say("messages lost: memory and disk are full", messages=len(entries))
        self._hand_over(entries)

    def _hand_over(self, entries: Sequence[Entry]) -> None:
        for entry in entries if self._on_lost else ():
            try:
                self._on_lost(entry.body)  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 -- the speaker must not hear of it
                self._say("on_lost failed", why=type(error).__name__)

    def _say(self, what: str, **more: object) -> None:
        with suppress(Exception):  # a log that cannot be written is no reason to stop speaking
            log.warning(what, conversation_id=str(self.conversation_id), **more)
