"""Replay of a spool: sends the messages of processes that have ended, and once more those that were refused."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from verbatim_record.recorder.recorder import Limits
from verbatim_record.recorder.sinks import Sink
from verbatim_record.recorder.spool.spool import Spool
from verbatim_record.recorder.writer import Writer

_LOOK: Final = 0.25  # seconds between two reports of the progress


@dataclass(frozen=True, slots=True)
class Replayed:
    """The outcome of a replay, in messages; ``refusals`` by reason. ``others`` belong to recorders that are running.

    ``left`` have no answer; ``trouble`` then tells why the last attempt failed.
    """

    sent: int
    refusals: Counter[str]
    left: int
    others: int
    trouble: str | None


async def replay(path: Path, sink: Sink, *, patience: float, watch: Callable[[int, int, str | None], None]) -> Replayed:
    """Send the messages of the spool at ``path`` in order, and return the outcome; ``sink`` is closed at the end.

    It ends when every message has an answer, or when none got one for ``patience`` seconds. ``watch`` is called with
    the number of answered messages, the total, and why the last attempt failed, if it did. Raises SetupError if the
    spool cannot be opened.
    """
    limits = Limits()
    spool = Spool(path, within=limits.within, most_bytes=limits.disk)
    try:
        found = await spool.open(refused=True)
    except BaseException:
        await sink.aclose()
        raise
    writer = Writer(sink, spool, memory=limits.memory, patience=limits.patience)
    if found.ours:
        writer.catch_up(found.since)
    task = asyncio.create_task(writer.run(), name="writer")
    try:
        await _follow(writer, found.ours, patience, watch)
    finally:
        writer.stop(task)
        try:
            await asyncio.wait({task})
        finally:  # each also if the caller is cancelled in the one before
            try:
                await asyncio.shield(spool.close())
            finally:
                await sink.aclose()
    left = found.ours - writer.sent - writer.refused
    return Replayed(writer.sent, writer.refusals, left, found.others, writer.trouble if left else None)


async def _follow(writer: Writer, total: int, patience: float, watch: Callable[[int, int, str | None], None]) -> None:
    answered, heard = 0, time.monotonic()
    while not writer.is_idle and time.monotonic() - heard < patience:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                await writer.drained()
        if writer.sent + writer.refused > answered:
            answered, heard = writer.sent + writer.refused, time.monotonic()
        watch(answered, total, writer.trouble)
