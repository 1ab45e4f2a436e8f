"""The memory budget for request bodies: bounded over all requests of this worker, and for each caller (back-pressure).

While a body finds no room the worker reads no more of it, so the client's TCP connection slows the client down.
"""

import random
from asyncio import sleep
from typing import Final, cast

from fastapi import Request
from starlette.types import Scope

from backend.api.rate_limits import network
from backend.budget import Budget
from backend.errors import Busy
from backend.observability import metrics

WORKER_BYTES: Final = 48 * 2**20  # bytes of all bodies; a worker is to need less than 400 MiB
CALLER_BYTES: Final = 16 * 2**20  # bytes of one caller's bodies: four of the largest batches
# Seconds before a caller that has used its share is refused, so that each of its connections causes at most one refusal
# a second; up to twice as much at random, because hundreds of refusals at once would delay the event loop.
REFUSAL_DELAY_SECONDS: Final = 1.0
_NAME: Final = "held_body"  # in the state of a request

_SHED: Final = metrics.HTTP_SHED.labels("bodies")


def new_budget() -> Budget:
    """Return an empty budget for the bodies of one worker."""
    return Budget(WORKER_BYTES, CALLER_BYTES)


class HeldBody:
    """The bytes of one body, counted from their arrival until the request has ended (`release_body`).

    The bytes and the objects parsed from them live about as long as the request. The caller is the subject of the token
    or, without one, the client's address.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._budget = cast("Budget", request.app.state.bodies)
        self._size = 0

    async def hold(self, size: int) -> None:
        """Count ``size`` bytes, of which the body consists so far; raises Busy if the budget has no room for them.

        A caller beyond its share waits REFUSAL_DELAY_SECONDS and more for room. The route reads no more of the body
        meanwhile.
        """
        if not self._size:
            self._caller = _caller(self._request)
            setattr(self._request.state, _NAME, self)
        more = size - self._size
        if not self._budget.take(self._caller, more):
            if self._budget.lacks_share(self._caller, more):
                await sleep(REFUSAL_DELAY_SECONDS * random.uniform(1, 2))  # noqa: S311 -- spreads the refusals
            if not self._budget.take(self._caller, more):
                _SHED.inc()
                raise Busy("Too many request bodies are being received")
        self._size = size

    def release(self) -> None:
        """Give the bytes back to the budget."""
        if self._size:
            self._budget.give_back(self._caller, self._size)
            self._size = 0


def release_body(scope: Scope) -> None:
    """Give the bytes of a request's body back to the budget, if one was read; call it when the request has ended."""
    body = scope.get("state", {}).get(_NAME)
    if body is not None:
        body.release()


def _caller(request: Request) -> tuple[str, str]:
    principal = getattr(request.state, "principal", None)
    if principal is not None and principal.subject is not None:
        return ("subject", principal.subject)
    return ("address", network(request.client.host) if request.client else "")
