"""The event loop of a worker: uvloop's, which accepts as many connections as are waiting.

libuv accepts one connection in an iteration of its loop. While a thousand requests are served an iteration takes a
tenth of a second and more, so health checks and new clients would wait in the kernel's queue for seconds, and a refusal
would come as late as an answer.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import structlog
import uvloop

MOST_AT_ONCE: Final = 64  # connections accepted in one iteration, about 5 ms of processor time
_PAUSE: Final = 1.0  # seconds without accepting, when the process or the system has no file left

log = structlog.get_logger(__name__)


class Loop(uvloop.Loop):
    """uvloop's event loop; a server on a given socket accepts up to ``MOST_AT_ONCE`` connections in one iteration."""

    async def create_server(self, protocol_factory: Any, *_: Any, sock: Any = None, **_options: Any) -> Any:
        """Return a server that listens on ``sock``, which is bound and listens already."""
        return _Listener(self, protocol_factory, sock)


class _Listener:
    """What Uvicorn uses of a server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, factory: Callable[[], Any], listener: socket.socket) -> None:
        self._loop = loop
        self._factory = factory
        self._listener = listener
        self._arriving: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Accept no further connection; the socket stays open."""
        if self._timer is None:
            self._loop.remove_reader(self._listener)
        else:
            self._timer.cancel()

    async def wait_closed(self) -> None:
        """Return at once: the server that serves the connections closes them."""

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(MOST_AT_ONCE):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted", error=error.strerror)
                self._loop.remove_reader(self._listener)
                self._timer = self._loop.call_later(_PAUSE, self._listen)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._welcome(connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _welcome(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError:  # the peer has gone
            connection.close()
