"""Admission: a request runs when its turn has come in the queue of requests, or is refused."""

from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api import problems
from backend.api.dependencies import MONITORING
from backend.api.rate_limits import network
from backend.api.request_queue import Caller, RequestQueue, new_caller
from backend.errors import Busy

# The extension of a scope (a function that takes nothing) by which the server tells whether the client has hung up.
GONE: Final = "verbatim.gone"


class Admission:
    """Lets requests of ``app`` run, wait, or be refused."""

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
            turn = queue.arrive(_caller(scope))
        except Busy as error:
            await problems.refusal(error)(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            queue.leave(turn)
            await send(message)

        try:
            if turn.ready is not None:
                await turn.ready
                if _is_gone(scope):
                    raise ClientDisconnect
            await self._app(scope, receive, sending)
        finally:
            queue.leave(turn)


def _is_gone(scope: Scope) -> bool:
    """Tell whether the client has hung up while its request waited: then it is not begun."""
    gone = scope.get("extensions", {}).get(GONE)
    return gone is not None and bool(gone())


def _caller(scope: Scope) -> Caller:
    client = scope.get("client")
    token = next((value for name, value in scope["headers"] if name == b"authorization"), None)
    return new_caller(token, network(client[0]) if client else "")
