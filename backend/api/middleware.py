"""The layer around all routes: request id, admission, gate, access log, metrics, and 500 for an unexpected exception.

It is one layer for all of these, because each layer wraps `send`, and costs time for each message of a response.

It is plain ASGI, because Starlette's BaseHTTPMiddleware would hide context variables and buffer streams.
"""

import asyncio
import re
import time
from collections.abc import Collection
from functools import lru_cache
from typing import Final

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api import problems
from backend.api.admission import ARRIVED, enter, wait_for_turn
from backend.api.bodies import release_body
from backend.api.dependencies import API, MCP, MONITORING
from backend.api.gate import Gate
from backend.api.rate_limits import Quota, rate_limit_headers
from backend.api.request_queue import QueuedRequest, RequestQueue
from backend.api.route_templates import Templates
from backend.errors import DatabaseUnavailable, RecordError, Unavailable
from backend.observability import metrics
from backend.observability.access_log import AccessLog
from backend.observability.logs import new_request_id, request_id

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# The methods that metrics and logs name; a client may invent others, without a bound in number.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
# A page of another origin may not load a response as an image or a script; requests that CORS allows are not affected.
_SAME_ORIGIN: Final = (b"cross-origin-resource-policy", b"same-origin")
_NO_STORE: Final = (b"cache-control", b"no-store")  # no browser and no proxy may cache what persons said

log = structlog.get_logger(__name__)


class RequestMiddleware:
    """The layer around all routes: gives each request its id and a place in ``queue``, and asks ``gate`` for it.

    It sends the refusals of both, and logs and counts each response. ``paths`` are the templates of the routes.
    """

    def __init__(
        self, app: ASGIApp, *, access_log: AccessLog, queue: RequestQueue, gate: Gate, paths: Collection[str] = ()
    ) -> None:
        self._app = app
        self._access_log = access_log
        self._queue = queue
        self._gate = gate
        self._templates = Templates(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = scope.get("extensions", {}).get(ARRIVED) or time.perf_counter()
        identity = _identity(scope["headers"])
        request_id.set(identity)
        response = _Response(scope["path"], send, identity, self._queue)
        try:
            refusal = await self._refusal(scope, response)
            await (refusal or self._app)(scope, receive, response.send)
        except ClientDisconnect:
            pass  # there is no client that could read a response
        except asyncio.CancelledError:
            # The shutdown timeout has passed. The worker does not know whether the request was committed: 503, so that
            # the client sends the same again.
            if not response.status:
                await problems.refusal(DatabaseUnavailable())(scope, receive, response.send)
            raise
        except Exception as error:
            if response.status and isinstance(error.__cause__, Unavailable):  # Starlette's RuntimeError has it as cause
                log.warning("response ended early", error=type(error.__cause__).__name__)
                return  # Uvicorn closes the connection, so that the client sees the response is incomplete
            log.exception("fault of the service")
            if response.status:
                raise  # the server then closes the connection, so that the client sees the response is incomplete
            await problems.internal_error()(scope, receive, response.send)
        finally:
            response.leave()
            release_body(scope)
            self._account(scope, response.status, time.perf_counter() - started, identity)

    async def _refusal(self, scope: Scope, response: "_Response") -> Response | None:
        """Wait until the request may run; return the refusal of the queue or of the gate, if one of them refuses it."""
        try:
            response.turn = enter(self._queue, scope)
            if response.turn is not None:
                await wait_for_turn(response.turn, scope)
            await self._gate.admit(scope, response.quotas)
        except RecordError as error:
            return problems.refusal(error)
        return None

    def _account(self, scope: Scope, status: int, seconds: float, identity: str) -> None:
        # The template and a known method, not what the client sent: that could be any text, without a bound in number.
        found = scope.get("route")
        route = found.path if found else self._templates.find(scope["path"]) or "none"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        _requests(method, route, status).inc()
        _seconds(method, route).observe(seconds)
        if route not in MONITORING:  # polled every few seconds: counted, but not logged
            self._access_log.note(method, route, status, seconds, identity)


class _Response:
    """The response to one request: adds the headers that each response has, and notes its status (0: none yet)."""

    __slots__ = ("_identity", "_path", "_queue", "_send", "quotas", "status", "turn")

    def __init__(self, path: str, send: Send, identity: str, queue: RequestQueue) -> None:
        self._path = path
        self._send = send
        self._identity = identity
        self._queue = queue
        self.turn: QueuedRequest | None = None
        self.quotas: list[Quota] = []
        self.status = 0

    def leave(self) -> None:
        """Free the place of the request in the queue; safe to call twice."""
        if self.turn is not None:
            self._queue.leave(self.turn)

    async def send(self, message: Message) -> None:
        """Send a part of the response; the request leaves the queue when the response begins."""
        if message["type"] == "http.response.start":
            self.leave()
            self.status = message["status"]
            headers = message["headers"]
            if self.quotas:
                headers += rate_limit_headers(self.quotas)
            headers += [(b"x-request-id", self._identity.encode()), _NOSNIFF, _SAME_ORIGIN]
            if self._path.startswith(API) or self._path == MCP:
                headers.append(_NO_STORE)
        await self._send(message)


def _identity(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"traceparent" and (found := _TRACEPARENT.match(value)):
            return found[1].decode()
    return new_request_id()


# Cached, because prometheus_client takes a lock and formats strings to find the metric of some labels.
_requests = lru_cache(1024)(metrics.HTTP_REQUESTS.labels)
_seconds = lru_cache(1024)(metrics.HTTP_SECONDS.labels)
