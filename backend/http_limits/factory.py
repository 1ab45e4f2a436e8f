"""Creates the protocol of each connection for Uvicorn, and bounds how many bytes it reads from the socket at once."""

import asyncio
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from backend.http_limits.connections import Connections
from backend.http_limits.limits import HttpLimits
from backend.http_limits.protocol import LimitedProtocol


class LimitedHTTP:
    """The `http` of Uvicorn's configuration: creates the protocol of each connection of one worker.

    Uvicorn pickles it for each worker process, so it holds no object of an event loop.
    """

    def __init__(self, limits: HttpLimits) -> None:
        self.connections: Final = Connections(limits)
        self._buffer: Final = bytearray(limits.read_bytes)

    def __call__(
        self, config: Config, server_state: ServerState, app_state: dict[str, Any], **_options: object
    ) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection."""
        return _Reader(LimitedProtocol(self.connections, config, server_state, app_state), memoryview(self._buffer))


class _Reader(asyncio.BufferedProtocol):
    """Passes on the bytes that a connection receives, at most the size of ``buffer`` at once.

    An event loop chooses how many bytes it reads for an `asyncio.Protocol` (uvloop: 250 KiB), and they stay in memory
    until the application asks for them. All connections of one event loop share ``buffer``.
    """

    def __init__(self, protocol: LimitedProtocol, buffer: memoryview) -> None:
        self._buffer = buffer
        self._data_received = protocol.data_received
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.connection_made = protocol.connection_made  # type: ignore[method-assign,assignment]
        self.connection_lost = protocol.connection_lost  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 -- asyncio's signature
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._data_received(bytes(self._buffer[:nbytes]))
