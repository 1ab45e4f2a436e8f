"""How the conductor speaks to its clients and readers: through their standard input, which ends when it dies."""

import asyncio
import sys
from asyncio import AbstractEventLoop, Event, StreamReader, StreamReaderProtocol


async def standard_input() -> StreamReader:
    """Return what the conductor says; it cannot stop a reader of it from being ended."""
    loop: AbstractEventLoop = asyncio.get_running_loop()
    reader = StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: StreamReaderProtocol(reader), sys.stdin)
    return reader


async def set_at_end(spoken: StreamReader, ended: Event) -> None:
    """Set ``ended`` when nothing more can come."""
    await spoken.read()
    ended.set()
