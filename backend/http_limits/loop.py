"""The event loop of a worker: uvloop's, but it accepts up to `MAX_ACCEPTED` waiting connections in one iteration.

libuv accepts one connection in each iteration. While the worker serves a thousand requests an iteration takes 0.1 s and
more, so health checks and new clients would wait for seconds in the kernel's backlog, and a 503 would arrive as late as
a response.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

import structlog
import uvloop

# Connections accepted in one iteration: with fewer a burst of thousands waits to be refused, and with more the refusals
# delay the requests that run (measured: a third of them came to an end with 128).
MAX_ACCEPTED: Final = 40
_PAUSE: Final = 1.0  # seconds without accepting, after the process or the system had no file descriptor left

log = structlog.get_logger(__name__)


class Loop(uvloop.Loop):
    """uvloop's event loop; a server on a given socket accepts up to ``MAX_ACCEPTED`` connections in one iteration."""

    async def create_server(self, protocol_factory: Any, *_: Any, sock: Any = None, **_options: Any) -> Any:
        """Return a server that listens on ``sock``, which is bound and listens already."""
        return _Listener(self, protocol_factory, sock)


class _Listener:
    """The part of `asyncio.Server` that Uvicorn uses."""

    def __init__(self, loop: asyncio.AbstractEventLoop, factory: Callable[[], Any], listener: socket.socket) -> None:
        self._loop = loop
        self._factory = factory
        self._listener = listener
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
        """Return at once: Uvicorn closes the connections itself."""

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTED):
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
            self._connect(connection)

    def _connect(self, connection: socket.socket) -> None:
        """Begin the protocol of a connection in the next iteration of the loop; a task would begin it one later."""
        connecting = self._loop.connect_accepted_socket(self._factory, connection)
        try:
            begun = connecting.send(None)
        except OSError:  # the client has disconnected
            connection.close()
        else:
            begun.add_done_callback(partial(_finish, connecting, connection))


def _finish(connecting: Coroutine[Any, None, object], connection: socket.socket, _begun: asyncio.Future[None]) -> None:
    """Let ``connecting`` return, because uvloop closes the connection of a coroutine that never does."""
    try:
        connecting.send(None)
    except StopIteration:
        return
    except OSError:
        connection.close()
