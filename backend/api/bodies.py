"""Bytes of request bodies in memory: bounded over all requests of this process, and for each caller."""

from asyncio import sleep
from typing import Final, cast

from fastapi import Request
from starlette.types import Scope

from backend.api.rate_limits import network
from backend.budget import Budget
from backend.errors import Busy
from backend.observability import metrics

WORKER_BYTES: Final = 48 * 2**20  # bytes, of a worker that shall need less than 400 MiB
CALLER_BYTES: Final = 16 * 2**20  # bytes, four of the largest batches
# Seconds until a caller that has used its share is refused: so it is refused no more often than it has connections.
REFUSAL_DELAY_SECONDS: Final = 1.0
_NAME: Final = "held_body"  # in the state of a request

_SHED: Final = metrics.HTTP_SHED.labels("bodies")


def new_budget() -> Budget:
    """Return the budget of one process."""
    return Budget(WORKER_BYTES, CALLER_BYTES)


class HeldBody:
    """The bytes of one body, counted from their arrival until the request has ended (`release_body`).

    A handler parses the body, so the bytes and what was made of them live about as long as the request. The caller is
    the subject of the token or, without one, the address.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._budget = cast("Budget", request.app.state.bodies)
        self._size = 0

    async def hold(self, size: int) -> None:
        """Count ``size`` bytes that have arrived in all; raises Busy if there is no room for them.

        Meanwhile no more of the body is read.
        """
        if not self._size:
            self._caller = _caller(self._request)
            setattr(self._request.state, _NAME, self)
        more = size - self._size
        if not self._budget.take(self._caller, more):
            if self._budget.lacks_share(self._caller, more):
                await sleep(REFUSAL_DELAY_SECONDS)
            if not self._budget.take(self._caller, more):
                _SHED.inc()
                raise Busy("Too many request bodies are being received")
        self._size = size

    def release(self) -> None:
        """Count them no more."""
        if self._size:
            self._budget.give_back(self._caller, self._size)
            self._size = 0


def release_body(scope: Scope) -> None:
    """Give back what the body of a request took, if one was read; the request has ended."""
    body = scope.get("state", {}).get(_NAME)
    if body is not None:
        body.release()


def _caller(request: Request) -> tuple[str, str]:
    principal = getattr(request.state, "principal", None)
    if principal is not None and principal.subject is not None:
        return ("subject", principal.subject)
    return ("address", network(request.client.host) if request.client else "")
