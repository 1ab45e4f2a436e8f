"""Admission control: each request waits in the worker's queue (`request_queue`) until it may run, or is refused."""

from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import Scope

from backend.api.dependencies import MONITORING
from backend.api.rate_limits import network
from backend.api.request_queue import Caller, QueuedRequest, RequestQueue, new_caller

# The extensions of an ASGI scope: when the request arrived, by `time.perf_counter`; a function without parameters which
# tells whether the client has disconnected; and the `QueuedRequest`, if the HTTP protocol has put it into the queue. A
# request's state has its `QueuedRequest` by the same key.
ARRIVED: Final = "verbatim.arrived"
DISCONNECTED: Final = "verbatim.disconnected"
TURN: Final = "verbatim.turn"


def enter(queue: RequestQueue, scope: Scope) -> QueuedRequest | None:
    """Put a request into ``queue`` and return its place; None for monitoring, which runs at once. Raises Busy."""
    if scope["path"] in MONITORING:
        return None
    turn: QueuedRequest = scope.get("extensions", {}).get(TURN) or queue.arrive(_caller(scope))
    scope.setdefault("state", {})[TURN] = turn
    return turn


def leave(scope: Scope) -> None:
    """Free the place of a request before its response begins."""
    scope["state"]["request_queue"].leave(scope["state"][TURN])


async def wait_for_turn(turn: QueuedRequest, scope: Scope) -> None:
    """Wait until a request may run; raises ClientDisconnect if its client disconnected meanwhile."""
    if turn.ready is not None:
        await turn.ready
        disconnected = scope.get("extensions", {}).get(DISCONNECTED)
        if disconnected is not None and disconnected():
            raise ClientDisconnect


def _caller(scope: Scope) -> Caller:
    client = scope.get("client")
    token = next((value for name, value in scope["headers"] if name == b"authorization"), None)
    return new_caller(token, network(client[0]) if client else "")
