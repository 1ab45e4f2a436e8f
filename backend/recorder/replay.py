"""Sending what a spool still holds: what a process left that was killed, and what was refused, once more."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from backend.recorder.recorder import Limits
from backend.recorder.sinks import Sink
from backend.recorder.spool import Spool
from backend.recorder.writer import Writer

_LOOK: Final = 0.25  # seconds between two looks at how far it has come


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of a spool: counts of messages; ``refusals`` by reason. ``others`` belong to recorders that run."""

    sent: int
    refusals: Counter[str]
    left: int
    others: int
    trouble: str | None


async def replay(path: Path, sink: Sink, *, patience: float, watch: Callable[[int, int, str | None], None]) -> Replayed:
    """Send what the spool at ``path`` holds, in order, until all is answered or nothing was for ``patience`` seconds.

    ``watch`` is told how many messages of how many are answered, and what it waits for, if it does. Raises SetupError.
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
        task.cancel()
        await asyncio.wait({task})
        await spool.close()
        await sink.aclose()
    left = found.ours - writer.sent - writer.refused
    return Replayed(writer.sent, writer.refusals, left, found.others, writer.trouble if left else None)


async def _follow(writer: Writer, total: int, patience: float, watch: Callable[[int, int, str | None], None]) -> None:
    answered, heard = 0, time.monotonic()
    while not writer.idle.is_set() and time.monotonic() - heard < patience:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK):
                await writer.idle.wait()
        if writer.sent + writer.refused > answered:
            answered, heard = writer.sent + writer.refused, time.monotonic()
        watch(answered, total, writer.trouble)
