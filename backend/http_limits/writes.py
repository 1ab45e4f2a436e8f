"""Joins the writes of a response, so that one system call sends its head and its body.

Uvicorn writes the one after the other, and uvloop makes a system call of each write at once. For a short response that
is the most expensive of all steps: it took 17 µs of a post (measured).
"""

import asyncio
from typing import Final

MAX_JOINED: Final = 4096  # bytes that wait for a further write; most responses have fewer


class JoinedWrites:
    """The part of a transport that writes a response: sends together what one iteration of the event loop writes.

    More than MAX_JOINED bytes are sent at once, so that a long response takes no memory.
    """

    __slots__ = ("_loop", "_pieces", "_size", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send ``data`` with what is written before the event loop goes on, or at the next `flush`."""
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size > MAX_JOINED:
            self.flush()

    def flush(self) -> None:
        """Send what was written; nothing is sent after the transport was closed."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.writelines(pieces)

    def close(self) -> None:
        """Close the transport after what was written."""
        self.flush()
        self._transport.close()
