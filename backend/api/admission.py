"""Admission control: each request waits in the worker's queue (`request_queue`) until it may run, or is refused."""

from functools import partial
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api import problems
from backend.api.dependencies import MONITORING
from backend.api.rate_limits import network
from backend.api.request_queue import Caller, RequestQueue, new_caller
from backend.errors import Busy

# The extensions of an ASGI scope: when the request arrived, by `time.perf_counter`; a function without parameters which
# tells whether the client has disconnected; and the `QueuedRequest`, if the HTTP protocol has put it into the queue.
ARRIVED: Final = "verbatim.arrived"
DISCONNECTED: Final = "verbatim.disconnected"
TURN: Final = "verbatim.turn"
# The key of the state with a function that gives the place of the request to another, before its response begins.
LEAVE: Final = "leave"


class Admission:
    """The middleware that runs, queues or refuses each request of ``app``; requests for monitoring run at once."""

    def __init__(self, app: ASGIApp, queue: RequestQueue) -> None:
        self._app = app
        self._queue = queue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] in MONITORING:
            await self._app(scope, receive, send)
            return
        queue = self._queue
        try:
            turn = scope.get("extensions", {}).get(TURN) or queue.arrive(_caller(scope))
        except Busy as error:
            await problems.refusal(error)(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            queue.leave(turn)
            await send(message)

        scope.setdefault("state", {})[LEAVE] = partial(queue.leave, turn)
        try:
            if turn.ready is not None:
                await turn.ready
                if _is_disconnected(scope):
                    raise ClientDisconnect
            await self._app(scope, receive, sending)
        finally:
            queue.leave(turn)


def _is_disconnected(scope: Scope) -> bool:
    """Tell whether the client disconnected while its request waited, so that the request need not run."""
    disconnected = scope.get("extensions", {}).get(DISCONNECTED)
    return disconnected is not None and bool(disconnected())


def _caller(scope: Scope) -> Caller:
    client = scope.get("client")
    token = next((value for name, value in scope["headers"] if name == b"authorization"), None)
    return new_caller(token, network(client[0]) if client else "")
