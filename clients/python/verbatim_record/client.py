"""The client for programs without an event loop."""

import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from typing import Generic, ParamSpec, Self, TypeVar

import httpx

from verbatim_record.calls import Call, Following, Lines, Page
from verbatim_record.core import Consistency, Core
from verbatim_record.http_client import LIMITS, blocking_http_client, service_url
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


class Pages(Generic[T]):
    """The items of a list, fetched page by page while you iterate. Each iteration begins anew."""

    def __init__(self, fetch: Callable[[], AsyncGenerator[Page[T], None]]) -> None:
        self._fetch = fetch

    def pages(self) -> Generator[Page[T], None, None]:
        """Yield each page. Its `next_cursor` is where a later call can go on; raises VerbatimError."""
        return _drained(self._fetch())

    def __iter__(self) -> Iterator[T]:
        """Yield each item of each page; raises VerbatimError."""
        for page in self.pages():
            yield from page.data


def _run(steps: Awaitable[T]) -> T:
    """Return the result of an awaitable that never suspends, because its transport blocks instead."""
    try:
        next(steps.__await__())
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("A coroutine of the core has suspended.")


def _drained(items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    try:
        while True:
            try:
                item = _run(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        _run(items.aclose())


def _called(operation: Callable[P, Call[T]]) -> Method[P, T]:
    return Method(operation, lambda core, call: _run(core.send(call)))


def _listed(operation: Callable[P, Call[Page[T]]]) -> Method[P, Pages[T]]:
    return Method(operation, lambda core, call: Pages(lambda: core.pages(call)))


def _exported(operation: Callable[P, Lines[T]]) -> Method[P, Generator[T, None, None]]:
    return Method(operation, lambda core, lines: _drained(core.lines(lines)))


def _followed(
    operation: Callable[P, Following[PlaceT]],
) -> Method[P, Generator[tuple[PlaceT, MessageResponse], None, None]]:
    return Method(operation, lambda core, following: _drained(core.follow(following)))


class Messages(Resource):
    """The messages of conversations."""

    record = _called(messages.record)
    record_batch = _called(messages.record_batch)
    list = _listed(messages.list)


class Conversations(Resource):
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


class Sessions(Resource):
    """Voice sessions: the calls of phones."""

    begin = _called(sessions.begin)
    get = _called(sessions.get)
    token = _called(sessions.token)
    record_events = _called(sessions.record_events)
    end = _called(sessions.end)
    receipt = _called(sessions.receipt)


class Intents(Resource):
    """The intents of conversations."""

    put = _called(intents.put)
    get = _called(intents.get)


class Deliveries(Resource):
    """Deliveries of intents to the orchestrator."""

    list = _listed(deliveries.list)
    get = _called(deliveries.get)
    retry = _called(deliveries.retry)
    retry_all = _called(deliveries.retry_all)


class Subjects(Resource):
    """Everything on record of one person."""

    export = _exported(subjects.export)
    erasures = _listed(subjects.erasures)
    erase = _called(subjects.erase)


class Governance(Resource):
    """Redactions, holds, the retention and the audit, for the operator."""

    redact = _called(governance.redact)
    hold = _called(governance.hold)
    release = _called(governance.release)
    holds = _listed(governance.holds)
    audit = _listed(governance.audit)
    retention = _called(governance.retention)


class Service(Resource):
    """The service itself, for its operator."""

    get = _called(service.get)


class Client(Resource):
    """A client of the service at ``url``, for programs without an event loop; several threads may use it.

    ``token`` is sent as the bearer token; for one that expires pass a function, which is called before each attempt and
    once more after 401. ``timeout`` is in seconds, for connecting and for each part of an answer. With a replica of the
    database, reads see every commit unless ``consistency`` is `session` (all up to this client's last write) or
    `eventual` (what the replica has). The requests go through ``proxy``, a URL, except to this machine; variables such
    as `HTTP_PROXY` are not read. ``tls`` is by default made of `SSL_CERT_FILE`, `SSL_CERT_DIR` or certifi's
    authorities. ``http`` replaces the client's own HTTP client, with ``proxy`` and ``tls``, and stays open at the end.
    Raises SetupError if ``url`` is not an HTTP address.
    """

    feed = _followed(messages.feed)
    search = _listed(messages.search)
    stats = _called(figures.stats)

    def __init__(  # noqa: PLR0913 -- each is one option
        self,
        url: str,
        token: str | Callable[[], str] | None = None,
        *,
        timeout: float = 20.0,
        retries: Retries = DEFAULT_RETRIES,
        consistency: Consistency = "strong",
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        address = service_url(url, "The address of the client")
        self._owns = http is None
        self._http = http or blocking_http_client(address, proxy=proxy, tls=tls, limits=LIMITS)
        super().__init__(Core(address, _Blocking(self._http, token), retries, timeout, consistency))
        self.messages = Messages(self._core)
        self.conversations = Conversations(self._core)
        self.sessions = Sessions(self._core)
        self.intents = Intents(self._core)
        self.deliveries = Deliveries(self._core)
        self.subjects = Subjects(self._core)
        self.governance = Governance(self._core)
        self.service = Service(self._core)

    def close(self) -> None:
        """Close the connections."""
        if self._owns:
            self._http.close()

    def __enter__(self) -> Self:
        """Return the client, which is closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self.close()


class _Blocking:
    """The transport whose methods block; see `core`."""

    def __init__(self, http: httpx.Client, token: str | Callable[[], str] | None) -> None:
        self._http = http
        self._token = token
        self.renewable = callable(token)

    async def token(self) -> str | None:
        return self._token() if callable(self._token) else self._token

    async def open(self, request: httpx.Request) -> httpx.Response:
        return self._http.send(request, stream=True, follow_redirects=False)

    async def read(self, response: httpx.Response) -> None:
        response.read()

    async def pieces(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        for piece in response.iter_bytes():
            yield piece

    async def close(self, response: httpx.Response) -> None:
        response.close()

    async def wait(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 -- that it blocks is the point
