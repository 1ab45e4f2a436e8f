"""The client for asyncio."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Generic, ParamSpec, Self, TypeAlias, TypeVar

import httpx

from verbatim_record.calls import Call, Following, Lines, Page
from verbatim_record.core import Consistency, Core
from verbatim_record.http_client import LIMITS, http_client, service_url
from verbatim_record.methods import Method, Resource
from verbatim_record.models import MessageResponse
from verbatim_record.operations import (
    conversations,
    deliveries,
    figures,
    governance,
    intents,
    messages,
    service,
    sessions,
    subjects,
)
from verbatim_record.retries import DEFAULT_RETRIES, Retries

P = ParamSpec("P")
T = TypeVar("T")
PlaceT = TypeVar("PlaceT")
Token: TypeAlias = str | Callable[[], str] | Callable[[], Awaitable[str]] | None


class AsyncPages(Generic[T]):
    """The items of a list, fetched page by page while you iterate. Each iteration begins anew."""

    def __init__(self, fetch: Callable[[], AsyncGenerator[Page[T], None]]) -> None:
        self._fetch = fetch

    def pages(self) -> AsyncGenerator[Page[T], None]:
        """Yield each page. Its `next_cursor` is where a later call can go on; raises VerbatimError."""
        return self._fetch()

    async def __aiter__(self) -> AsyncIterator[T]:
        """Yield each item of each page; raises VerbatimError."""
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                for item in page.data:
                    yield item


def _called(operation: Callable[P, Call[T]]) -> Method[P, Coroutine[Any, Any, T]]:
    return Method(operation, Core.send)


def _listed(operation: Callable[P, Call[Page[T]]]) -> Method[P, AsyncPages[T]]:
    return Method(operation, lambda core, call: AsyncPages(lambda: core.pages(call)))


def _exported(operation: Callable[P, Lines[T]]) -> Method[P, AsyncGenerator[T, None]]:
    return Method(operation, Core.lines)


def _followed(
    operation: Callable[P, Following[PlaceT]],
) -> Method[P, AsyncGenerator[tuple[PlaceT, MessageResponse], None]]:
    return Method(operation, Core.follow)


class AsyncMessages(Resource):
    """The messages of conversations."""

    record = _called(messages.record)
    record_batch = _called(messages.record_batch)
    list = _listed(messages.list)


class AsyncConversations(Resource):
    """Conversations, and what was said in them."""

    create = _called(conversations.create)
    list = _listed(conversations.list)
    get = _called(conversations.get)
    link = _called(conversations.link)
    end = _called(conversations.end)
    erase = _called(conversations.erase)
    transcript = _called(conversations.transcript)
    transcript_text = _called(conversations.transcript_text)
    openai_chat = _called(conversations.openai_chat)
    deepgram_settings = _called(conversations.deepgram_settings)
    timeline = _called(conversations.timeline)
    follow = _followed(conversations.follow)


class AsyncSessions(Resource):
    """Voice sessions: the calls of phones."""

    begin = _called(sessions.begin)
    get = _called(sessions.get)
    token = _called(sessions.token)
    record_events = _called(sessions.record_events)
    end = _called(sessions.end)
    receipt = _called(sessions.receipt)


class AsyncIntents(Resource):
    """The intents of conversations."""

    put = _called(intents.put)
    get = _called(intents.get)


class AsyncDeliveries(Resource):
    """Deliveries of intents to the orchestrator."""

    list = _listed(deliveries.list)
    get = _called(deliveries.get)
    retry = _called(deliveries.retry)
    retry_all = _called(deliveries.retry_all)


class AsyncSubjects(Resource):
    """Everything on record of one person."""

    export = _exported(subjects.export)
    erasures = _listed(subjects.erasures)
    erase = _called(subjects.erase)


class AsyncGovernance(Resource):
    """Redactions, holds, the retention and the audit, for the operator."""

    redact = _called(governance.redact)
    hold = _called(governance.hold)
    release = _called(governance.release)
    holds = _listed(governance.holds)
    audit = _listed(governance.audit)
    retention = _called(governance.retention)


class AsyncService(Resource):
    """The service itself, for its operator."""

    get = _called(service.get)


class AsyncClient(Resource):
    """A client of the service at ``url`` for asyncio; several tasks of one event loop may use it.

    ``token`` is sent as the bearer token; for one that expires pass a function, perhaps a coroutine function, which is
    called before each attempt and once more after 401. ``timeout`` is in seconds, for connecting and for each part of
    an answer. With a replica of the database, reads see every commit unless ``consistency`` is `session` (all up to
    this client's last write) or `eventual` (what the replica has). The requests go through ``proxy``, a URL, except to
    this machine; variables such as `HTTP_PROXY` are not read. ``tls`` is by default made of `SSL_CERT_FILE`,
    `SSL_CERT_DIR` or certifi's authorities. ``http`` replaces the client's own HTTP client, with ``proxy`` and ``tls``,
    and stays open at the end. Raises SetupError if ``url`` is not an HTTP address.
    """

    feed = _followed(messages.feed)
    search = _listed(messages.search)
    stats = _called(figures.stats)

    def __init__(  # noqa: PLR0913 -- each is one option
        self,
        url: str,
        token: Token = None,
        *,
        timeout: float = 20.0,
        retries: Retries = DEFAULT_RETRIES,
        consistency: Consistency = "strong",
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        address = service_url(url, "The address of the client")
        self._owns = http is None
        self._http = http or http_client(address, proxy=proxy, tls=tls, limits=LIMITS)
        super().__init__(Core(address, _Suspending(self._http, token), retries, timeout, consistency))
        self.messages = AsyncMessages(self._core)
        self.conversations = AsyncConversations(self._core)
        self.sessions = AsyncSessions(self._core)
        self.intents = AsyncIntents(self._core)
        self.deliveries = AsyncDeliveries(self._core)
        self.subjects = AsyncSubjects(self._core)
        self.governance = AsyncGovernance(self._core)
        self.service = AsyncService(self._core)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owns:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        """Return the client, which is closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()


class _Suspending:
    """The transport for an event loop; see `core`."""

    def __init__(self, http: httpx.AsyncClient, token: Token) -> None:
        self._http = http
        self._token = token
        self.renewable = callable(token)

    async def token(self) -> str | None:
        if not callable(self._token):
            return self._token
        token = self._token()
        return token if isinstance(token, str) else await token

    async def open(self, request: httpx.Request) -> httpx.Response:
        return await self._http.send(request, stream=True, follow_redirects=False)

    async def read(self, response: httpx.Response) -> None:
        await response.aread()

    async def pieces(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        async for piece in response.aiter_bytes():
            yield piece

    async def close(self, response: httpx.Response) -> None:
        await response.aclose()

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
