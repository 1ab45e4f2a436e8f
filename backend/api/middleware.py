"""What every request passes through: an identity, a line in the log, a measurement, and a net below everything.

Plain ASGI, because a wrapper around the response would hide context variables and hold back streams.
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
from backend.api.bodies import release_body
from backend.api.dependencies import API, MONITORING
from backend.api.route_templates import Templates
from backend.errors import DatabaseUnavailable
from backend.observability import metrics
from backend.observability.logs import new_request_id, request_id

# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# Those that some route or CORS answers, or that clients send by mistake; a client may make up others without end.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
# Another origin's page may not load an answer as an image or a script; what CORS allows is not concerned.
_SAME_ORIGIN: Final = (b"cross-origin-resource-policy", b"same-origin")
_NO_STORE: Final = (b"cache-control", b"no-store")  # what somebody said stays in no cache on its way

log = structlog.get_logger("backend.access")


class RequestMiddleware:
    """Gives each request its id and sees it through to the end; ``paths`` are the templates of the routes."""

    def __init__(self, app: ASGIApp, paths: Collection[str] = ()) -> None:
        self._app = app
        self._templates = Templates(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = _identity(scope["headers"])
        request_id.set(identity)
        started = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += [(b"x-request-id", identity.encode()), _NOSNIFF, _SAME_ORIGIN]
                if scope["path"].startswith(API):
                    message["headers"].append(_NO_STORE)
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            pass  # whoever hung up hears nothing
        except asyncio.CancelledError:
            # The service stops and has waited long enough. Whether this was stored nobody will know before it is asked.
            if not status:
                await problems.refusal(DatabaseUnavailable())(scope, receive, sending)
            raise
        except Exception:
            log.exception("fault of the service")
            if status:
                raise  # half an answer must not look like a whole one
            await problems.internal_error()(scope, receive, sending)
        finally:
            release_body(scope)
            _account(scope, self._templates, status, time.perf_counter() - started)


def _identity(headers: list[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"traceparent" and (found := _TRACEPARENT.match(value)):
            return found[1].decode()
    return new_request_id()


# prometheus_client looks a child up under a lock and from texts.
_requests = lru_cache(1024)(metrics.HTTP_REQUESTS.labels)
_seconds = lru_cache(1024)(metrics.HTTP_SECONDS.labels)


def _account(scope: Scope, templates: Templates, status: int, seconds: float) -> None:
    # Words of our own, not the path and the method as they came: those could hold anything, and without bounds.
    found = scope.get("route")
    route = found.path if found else templates.find(scope["path"]) or "none"
    method = scope["method"] if scope["method"] in _METHODS else "other"
    _requests(method, route, status).inc()
    _seconds(method, route).observe(seconds)
    if route not in MONITORING:  # worth a measurement, not a line
        log.info("request", method=method, route=route, status=status, ms=round(seconds * 1000, 2))
