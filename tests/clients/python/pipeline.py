"""A voice pipeline as a process of its own, for tests that end it: it records, and prints what and when."""

import asyncio
import os
import sys
import time
from pathlib import Path

from backend.observability import logs
from verbatim_record import HttpSink, Limits, Recorder


async def talk(url: str, conversation: str, spool: str, pause: float) -> None:
    """Say numbers, for ever; a line is printed when `record` has returned.

    It holds the number, the moment, and how many messages are on record or on disk by then.
    """
    limits = Limits(closing=0.1)
    sink = HttpSink(url)
    async with Recorder(sink, conversation_id=conversation, spool=Path(spool), limits=limits) as recorder:
        for number in range(10**9):
            recorder.record("user" if number % 2 else "assistant", str(number))
            stats = recorder.stats
            os.write(1, b"%d %.6f %d\n" % (number, time.monotonic(), max(stats.sent, stats.spooled)))
            await asyncio.sleep(pause)


if __name__ == "__main__":
    logs.configure("CRITICAL")  # standard output is for the numbers
    _, address, identity, file, seconds = sys.argv
    asyncio.run(talk(address, identity, file, float(seconds)))
