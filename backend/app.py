"""The one place where the parts meet."""

import asyncio
import multiprocessing
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from backend import __version__
from backend.api import (
    bodies,
    conversations,
    deliveries,
    health,
    intents,
    live,
    problems,
    subjects,
    transcripts,
    voice_messages,
    voice_sessions,
)
from backend.api.admission import Admission
from backend.api.gate import PROXY, Gate
from backend.api.middleware import RequestMiddleware
from backend.api.openapi import describe
from backend.api.rate_limits import Memory, Rate, RateLimits, Redis
from backend.api.request_queue import RequestQueue
from backend.auth import Authenticator
from backend.dao_service.connection.database import Database, PoolLimits
from backend.dao_service.wakeups.listen_notify import Notifier
from backend.deepgram import TokenClient
from backend.delivery import Dispatcher, Orchestrator
from backend.errors import SetupError
from backend.garbage_collection import GarbageCollection
from backend.migrations import runner
from backend.observability import logs, metrics
from backend.services.appender import Appender
from backend.services.database_metrics import DatabaseMetrics
from backend.services.feed import Feed
from backend.services.health import LIMITS, Health
from backend.services.live import Live
from backend.services.outbox import Outbox
from backend.services.session_timeout import Abandonment, Returns
from backend.settings import Settings
from backend.shutdown import leave_with_supervisor, told_to_end

_CORS: Final[dict[str, Any]] = {
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": [
        "authorization",
        "content-type",
        "if-match",
        "if-none-match",
        "last-event-id",
        # What tracing libraries add to every request of a page.
        "traceparent",
        "tracestate",
        "baggage",
        "sentry-trace",
    ],
    "expose_headers": [
        "etag",
        "location",
        "idempotency-replayed",
        "x-request-id",
        "www-authenticate",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
    ],
}

_ROUTERS: Final[tuple[APIRouter, ...]] = (
    voice_messages.router,
    voice_sessions.router,
    conversations.router,
    transcripts.router,
    live.router,
    subjects.router,
    intents.router,
    deliveries.router,
)

# Seconds after which a thread that computes gives up the interpreter's lock. Each callback of the event loop waits for
# it while a large body is parsed; with Python's own 5 ms a post beside such a body takes five times as long.
_SWITCH: Final = 0.0005

log = structlog.get_logger(__name__)


def from_environment() -> FastAPI:
    """Return the service as the environment describes it; what Uvicorn's workers call."""
    leave_with_supervisor()
    sys.setswitchinterval(_SWITCH)
    settings = Settings.from_environment()
    logs.configure(settings.log_level)
    try:
        app = create_app(settings)
    except SetupError as error:
        if multiprocessing.parent_process() is None:
            raise
        log.error("the worker cannot start", reason=str(error))
        sys.exit(STARTUP_FAILURE)  # so that the supervisor begins no other
    app.openapi()  # kept; it takes half a second, and the first request that needs it would hold up all others
    return app


def create_app(settings: Settings) -> FastAPI:
    """Return the service. It opens nothing before it is started; raises SetupError without a `DATABASE_URL`."""
    if settings.database_url is None:
        raise SetupError("DATABASE_URL is not set; `verbatim serve` brings up a database of its own.")
    metrics.BUILD.labels(__version__).set(1)
    limits = PoolLimits(pool_size=settings.pool_size, statement=settings.statement_timeout)
    database = Database(settings.database_url, limits, direct=settings.past_the_pooler)
    authenticator = Authenticator(settings.auth_issuers, database, proxy=settings.proxy)
    rate_limits = _rate_limits(settings)
    outbox = Outbox(settings.orchestrator.url) if settings.orchestrator else None
    silence = timedelta(seconds=settings.session_timeout)
    background: list[Abandonment | GarbageCollection | Dispatcher | Notifier] = [
        Notifier(database),
        Abandonment(database, silence),
        GarbageCollection(),
    ]
    if settings.orchestrator and outbox and settings.deliver:
        background.append(Dispatcher(database, outbox, Orchestrator(settings.orchestrator)))
    checked = Database(settings.database_url, LIMITS, direct=settings.past_the_pooler)
    parts = _Parts(
        database,
        checked,
        authenticator,
        rate_limits,
        RequestQueue(),
        silence,
        _token_client(settings),
        outbox,
        background,
    )
    app = FastAPI(
        title="Verbatim",
        version=__version__,
        summary="The durable record of voice conversations.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect names the host that the caller named
        lifespan=_lifespan(parts),
        telemetry={"logs": False},  # they would carry what was said
    )
    app.add_middleware(
        Gate,
        authenticator=authenticator,
        rate_limits=rate_limits,
        local_only=settings.auth_issuers is None,
        cors_origins=settings.cors_origins,
    )
    app.add_middleware(Admission, queue=parts.request_queue)
    app.add_middleware(RequestMiddleware, paths=_paths(*_ROUTERS, health.router))
    if settings.cors_origins:
        app.add_middleware(_CrossOrigin, allow_origins=settings.cors_origins, **_CORS)
    if settings.trusted_proxies:
        app.add_middleware(_TrustedProxies, trusted_hosts=[str(network) for network in settings.trusted_proxies])
    for router in _ROUTERS:
        app.include_router(router)
    health.install(app)
    problems.install(app)
    app.state.bodies = bodies.new_budget()
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    return app


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is put together before the service starts, and put away after it."""

    database: Database
    checked: Database  # the same, for health checks alone
    authenticator: Authenticator
    rate_limits: RateLimits
    request_queue: RequestQueue
    session_timeout: timedelta
    deepgram_tokens: TokenClient | None
    outbox: Outbox | None
    background: Sequence[Abandonment | GarbageCollection | Dispatcher | Notifier]


def _lifespan(parts: _Parts) -> Any:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        appender = Appender(parts.database)
        checks, counts = Health(parts.checked, appender, runner.head()), health.counts()
        figures = DatabaseMetrics(parts.checked, runner.head())
        async with AsyncExitStack() as stack:  # whatever fails to start or to close, all else is closed
            stack.callback(log.info, "stopped")
            for part in (
                parts.rate_limits,
                parts.database,
                counts,
                checks,
                figures,
                parts.deepgram_tokens,
                parts.authenticator,
            ):
                if part is not None:
                    stack.push_async_callback(part.close)
            stack.push_async_callback(_close_together, [appender, *parts.background])
            appender.start()
            for worker in parts.background:
                worker.start()
            log.info("started", version=__version__)
            stack.enter_context(told_to_end(parts.database.wakeups.close))
            yield {
                "database": parts.database,
                "appender": appender,
                "live": Live(parts.database),
                "feed": Feed(parts.database),
                "returns": Returns(parts.database, parts.session_timeout),
                "deepgram_tokens": parts.deepgram_tokens,
                "outbox": parts.outbox,
                "health": checks,
                "metrics": counts,
                "figures": figures,
                "request_queue": parts.request_queue,
            }

    return lifespan


class _Closing(Protocol):
    async def close(self) -> None: ...


async def _close_together(workers: Sequence[_Closing]) -> None:
    """Close the workers side by side, as each has its patience; raises the first error when all have ended."""
    ended = await asyncio.gather(*(worker.close() for worker in workers), return_exceptions=True)
    for error in ended:
        if error is not None:
            raise error


class _CrossOrigin(CORSMiddleware):
    """Stands outermost, so that a page can read any answer; only those before a request does it give itself."""

    def __init__(self, app: ASGIApp, /, **options: Any) -> None:
        super().__init__(app, **options)
        self.preflight_headers |= {"x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin"}


class _TrustedProxies(ProxyHeadersMiddleware):
    """Replaces the client by the one that a trusted proxy names, and leaves the proxy itself in the state."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["state"][PROXY] = scope.get("client")
        await super().__call__(scope, receive, send)


def _paths(*routers: APIRouter) -> list[str]:
    return [route.path for router in routers for route in router.routes if isinstance(route, APIRoute)]


def _rate_limits(settings: Settings) -> RateLimits:
    return RateLimits(
        address=Rate.parse(settings.rate_limit_address),
        subject=Rate.parse(settings.rate_limit_subject),
        storage=Redis(str(settings.rate_limit_redis_url)) if settings.rate_limit_redis_url else Memory(),
    )


def _token_client(settings: Settings) -> TokenClient | None:
    key = settings.deepgram_api_key
    if key is None:
        return None
    return TokenClient(key, settings.deepgram_url, settings.deepgram_agent_url, proxy=settings.proxy)
