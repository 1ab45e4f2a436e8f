"""The application: creates the parts of a worker, connects them, and starts and stops them together.

Each worker process has one of each: database pool, appender, authenticator, rate limits, request queue, health checks.
The layers of a request from the outermost to the innermost: trusted proxies, CORS, `RequestMiddleware` (request ids,
admission control, authentication and rate limits, the access log), the hot routes, and FastAPI with all other routes.
"""

import asyncio
import multiprocessing
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import structlog
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from backend import __version__, console
from backend.api import (
    bodies,
    conversations,
    deliveries,
    governance,
    health,
    intents,
    live,
    mcp,
    problems,
    search,
    service,
    stats,
    subjects,
    timelines,
    transcripts,
    voice_messages,
    voice_sessions,
)
from backend.api.gate import PROXY, Gate
from backend.api.hot_routes import TRACED, HotRoutes
from backend.api.middleware import RequestMiddleware
from backend.api.rate_limits import Memory, Rate, RateLimits, Redis
from backend.api.replica_reads import ReplicaReads
from backend.api.request_queue import RequestQueue
from backend.auth import Authenticator
from backend.background_task import BackgroundTask
from backend.dao_service.connection.database import Database, PoolLimits
from backend.dao_service.connection.replica import ReplicatedDatabase
from backend.dao_service.retention_dao import Periods
from backend.dao_service.schema_revision import SCHEMA_REVISION
from backend.dao_service.wakeups.listen_notify import Notifier
from backend.deepgram import TokenClient
from backend.delivery import Dispatcher, Orchestrator
from backend.garbage_collection import GarbageCollection
from backend.observability import logs, metrics
from backend.observability.access_log import AccessLog, AccessLogChoice
from backend.search.indexer import SearchIndexer
from backend.search.process import WorkerProcess
from backend.services.append_lanes import AppendLanes
from backend.services.database_metrics import DatabaseMetrics
from backend.services.feed import Feed
from backend.services.figures import PeriodFigures
from backend.services.health import LIMITS, Health
from backend.services.live import Live
from backend.services.outbox import Outbox
from backend.services.retention import Retention
from backend.services.service_status import ServiceStatus
from backend.services.session_timeout import SessionReopener, SessionTimeout
from backend.services.summaries import Summaries
from backend.settings import Settings
from backend.shutdown import exit_with_supervisor, on_shutdown
from verbatim_record.setup_error import SetupError

_CORS: Final[dict[str, Any]] = {
    "allow_methods": ["GET", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": [
        "authorization",
        "content-type",
        "if-match",
        "if-none-match",
        "last-event-id",
        "prefer",
        "verbatim-position",
        # Tracing libraries add these to every request of a page.
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
        "verbatim-position",
    ],
}

_ROUTERS: Final[tuple[APIRouter, ...]] = (
    voice_messages.router,
    voice_sessions.router,
    conversations.router,
    transcripts.router,
    timelines.router,
    live.router,
    search.router,
    subjects.router,
    intents.router,
    deliveries.router,
    governance.router,
    service.router,
    mcp.router,
    stats.router,
)

# Seconds after which a thread that computes releases the interpreter's lock (GIL). While the thread for large bodies
# parses, each callback of the event loop waits for the lock; with Python's default of 5 ms a post takes five times as
# long meanwhile.
_SWITCH: Final = 0.0005

log = structlog.get_logger(__name__)


def from_environment() -> FastAPI:
    """Return the application with the settings of the environment; each of Uvicorn's workers calls this.

    Raises SetupError, or exits a worker process with STARTUP_FAILURE, when the settings are wrong.
    """
    exit_with_supervisor()
    sys.setswitchinterval(_SWITCH)
    settings = Settings.from_environment()
    logs.configure(settings.log_level)
    try:
        return create_app(settings)
    except SetupError as error:
        if multiprocessing.parent_process() is None:
            raise
        log.error("the worker cannot start", reason=str(error))
        sys.exit(STARTUP_FAILURE)  # tells the supervisor not to start another worker


def create_app(settings: Settings) -> FastAPI:
    """Return the application. It opens no connection before it is started; raises SetupError without a database URL."""
    if settings.database_url is None:
        raise SetupError("DATABASE_URL is not set; set it, or run `verbatim serve`, which starts its own PostgreSQL.")
    metrics.BUILD.labels(__version__).set(1)
    limits = PoolLimits(pool_size=settings.pool_size, statement=settings.statement_timeout)
    database = (
        Database(settings.database_url, limits, direct=settings.pooler_bypass_url)
        if settings.database_replica_url is None
        else ReplicatedDatabase(
            settings.database_url, settings.database_replica_url, limits, direct=settings.pooler_bypass_url
        )
    )
    database.subscription = settings.subscription
    authenticator = Authenticator(settings.auth_issuers, database, proxy=settings.proxy)
    rate_limits = _rate_limits(settings)
    outbox = Outbox(settings.orchestrator.url) if settings.orchestrator else None
    silence = timedelta(seconds=settings.session_timeout)
    background: list[BackgroundTask | Dispatcher] = [
        Notifier(database),
        SessionTimeout(database, silence),
        Retention(database, settings.retention, timedelta(days=settings.delivery_retention)),
        GarbageCollection(),
    ]
    if settings.orchestrator and outbox and settings.deliver:
        background.append(Dispatcher(database, outbox, Orchestrator(settings.orchestrator)))
    if settings.search:
        apart = WorkerProcess(
            settings.database_url, settings.pooler_bypass_url, settings.statement_timeout, settings.log_level
        )
        background.append(SearchIndexer(database, apart.work))
    checked = Database(settings.database_url, LIMITS, direct=settings.pooler_bypass_url)
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
        settings.search,
        settings.retention,
    )
    app = _Service(
        title="Verbatim",
        version=__version__,
        summary="The durable record of voice conversations.",
        openapi_url=None,  # `health` serves what `make openapi` has written
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would go to the host that the client named, which may be wrong
        lifespan=_lifespan(parts),
        telemetry={"logs": False},  # these logs would contain what persons said
    )
    gate = Gate(
        authenticator=authenticator,
        rate_limits=rate_limits,
        local_only=settings.auth_issuers is None,
        cors_origins=settings.cors_origins,
    )
    api_routes = _routes(*_ROUTERS)
    routes = [*api_routes, *_routes(health.router)]
    app.wrap(HotRoutes, routes=routes)
    if settings.database_replica_url:
        app.wrap(ReplicaReads, database=database)
    app.wrap(
        RequestMiddleware,
        access_log=_access_log(settings),
        queue=parts.request_queue,
        gate=gate,
        paths=[route.path for route in routes],
    )
    if settings.cors_origins:
        app.wrap(_CrossOrigin, allow_origins=settings.cors_origins, **_CORS)
    if settings.trusted_proxies:
        app.wrap(_TrustedProxies, trusted_hosts=[str(network) for network in settings.trusted_proxies])
    for router in _ROUTERS:
        app.include_router(router)
    health.install(app)
    if settings.console:
        console.install(app)
    problems.install(app, api_routes)
    app.state.bodies = bodies.new_budget()
    return app


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a worker that are created before it starts and closed when it stops."""

    database: Database
    checked: Database  # the same database with a pool of its own, for health checks
    authenticator: Authenticator
    rate_limits: RateLimits
    request_queue: RequestQueue
    session_timeout: timedelta
    deepgram_tokens: TokenClient | None
    outbox: Outbox | None
    background: Sequence[BackgroundTask | Dispatcher]
    search: bool
    retention: Periods


def _lifespan(parts: _Parts) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        appender = AppendLanes(parts.database)
        checks, counts = Health(parts.checked, appender, SCHEMA_REVISION), health.counts()
        figures = DatabaseMetrics(parts.checked, SCHEMA_REVISION)
        service_status = ServiceStatus(parts.checked, checks)
        async with AsyncExitStack() as stack:  # if a part fails to start or to close, the others are still closed
            stack.callback(log.info, "stopped")
            for part in (
                parts.rate_limits,
                parts.database,
                counts,
                checks,
                figures,
                service_status,
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
            stack.enter_context(on_shutdown(parts.database.wakeups.close))
            yield {
                "database": parts.database,
                "appender": appender,
                "live": Live(parts.database),
                "feed": Feed(parts.database),
                "search": parts.search,
                "retention": parts.retention,
                "summaries": Summaries(parts.database),
                "period_figures": PeriodFigures(parts.database),
                "session_reopener": SessionReopener(parts.database, parts.session_timeout),
                "deepgram_tokens": parts.deepgram_tokens,
                "outbox": parts.outbox,
                "health": checks,
                "metrics": counts,
                "figures": figures,
                "service_status": service_status,
                "request_queue": parts.request_queue,
                TRACED: app._native_telemetry.enabled(),  # noqa: SLF001 -- pyproject.toml bounds FastAPI's version
            }

    return lifespan


class _Closing(Protocol):
    async def close(self) -> None: ...


async def _close_together(workers: Sequence[_Closing]) -> None:
    """Close ``workers`` concurrently, because each may take up to its timeout; raises the first error at the end."""
    ended = await asyncio.gather(*(worker.close() for worker in workers), return_exceptions=True)
    for error in ended:
        if error is not None:
            raise error


class _Service(FastAPI):
    """FastAPI's application within our own layers.

    They are no middlewares of the application, because FastAPI calls those within layers of its own, which take 8 µs of
    each request (measured), and which only its own routes need.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._outermost: ASGIApp = super().__call__

    def wrap(self, layer: Callable[..., ASGIApp], **options: Any) -> None:
        """Put ``layer`` around the application and the layers that it has."""
        self._outermost = layer(self._outermost, **options)

    def build_middleware_stack(self) -> ASGIApp:
        """Return FastAPI's layers without the outermost: it responds to exceptions, as `RequestMiddleware` does."""
        stack = super().build_middleware_stack()
        assert isinstance(stack, ServerErrorMiddleware)  # noqa: S101 -- another version may have another order
        return stack.app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["app"] = self
        await self._outermost(scope, receive, send)


class _CrossOrigin(CORSMiddleware):
    """Starlette's CORS middleware, outside the others, so that a page can read every response, also refusals.

    It answers only preflight requests itself, and adds the headers that `RequestMiddleware` adds to other responses.
    """

    def __init__(self, app: ASGIApp, /, **options: Any) -> None:
        super().__init__(app, **options)
        self.preflight_headers |= {"x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin"}


class _TrustedProxies(ProxyHeadersMiddleware):
    """Sets the client of a request to the one that a trusted proxy names; the state keeps the proxy's address."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["state"][PROXY] = scope.get("client")
        await super().__call__(scope, receive, send)


def _routes(*routers: APIRouter) -> list[APIRoute]:
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


def _access_log(settings: Settings) -> AccessLog:
    wanted = settings.log_level in {"DEBUG", "INFO"}  # the level of its lines is INFO
    return AccessLog(settings.access_log if wanted else AccessLogChoice.NONE)


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
