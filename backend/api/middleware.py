"""The outermost middleware of every request: request id, access log, metrics, and 500 for an unexpected exception.

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
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api import problems
from backend.api.admission import ARRIVED
from backend.api.bodies import release_body
from backend.api.dependencies import API, MCP, MONITORING
from backend.api.route_templates import Templates
from backend.errors import DatabaseUnavailable
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
    """Sets the id of each request, and logs and counts its response; ``paths`` are the templates of the routes."""

    def __init__(self, app: ASGIApp, access_log: AccessLog, paths: Collection[str] = ()) -> None:
        self._app = app
        self._access_log = access_log
        self._templates = Templates(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _identity(scope["headers"])
        request_id.set(identity)
        started = scope.get("extensions", {}).get(ARRIVED) or time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [(b"x-request-id", identity.encode()), _NOSNIFF, _SAME_ORIGIN]
                if scope["path"].startswith(API) or scope["path"] == MCP:
                    message["headers"].append(_NO_STORE)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            pass  # there is no client that could read a response
        except asyncio.CancelledError:
            # The shutdown timeout has passed. The worker does not know whether the request was committed: 503, so that
            # the client sends the same again.
            if not status:
                await problems.refusal(DatabaseUnavailable())(scope, receive, sending)
            raise
        except Exception:
            log.exception("fault of the service")
            if status:
                raise  # the server then closes the connection, so that the client sees the response is incomplete
            await problems.internal_error()(scope, receive, sending)
        finally:
            release_body(scope)
            self._account(scope, status, time.perf_counter() - started, identity)

    def _account(self, scope: Scope, status: int, seconds: float, identity: str) -> None:
        # The template and a known method, not what the client sent: that could be any text, without a bound in number.
        found = scope.get("route")
        route = found.path if found else self._templates.find(scope["path"]) or "none"
        method = scope["method"] if scope["method"] in _METHODS else "other"
        _requests(method, route, status).inc()
        _seconds(method, route).observe(seconds)
        if route not in MONITORING:  # polled every few seconds: counted, but not logged
            self._access_log.note(method, route, status, seconds, identity)


def _identity(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"traceparent" and (found := _TRACEPARENT.match(value)):
            return found[1].decode()
    return new_request_id()


# Cached, because prometheus_client takes a lock and formats strings to find the metric of some labels.
_requests = lru_cache(1024)(metrics.HTTP_REQUESTS.labels)
_seconds = lru_cache(1024)(metrics.HTTP_SECONDS.labels)
