"""Carries out calls over a transport: attempts, tokens, pages and streams. It does no I/O itself.

All of it is written once, as coroutines. `AsyncClient` awaits them. `Client` runs the same ones with a transport whose
methods block instead of suspending, so that a coroutine reaches its end at the first step.
"""

import logging
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from http import HTTPMethod, HTTPStatus
from typing import Any, Final, Literal, Protocol, TypeVar

import httpx

from verbatim_record import __version__
from verbatim_record.calls import Call, Following, Lines, Page, nothing, query, reading, refusal, result_of
from verbatim_record.errors import TransportError, UnexpectedResponse, VerbatimError
from verbatim_record.models import MessageResponse
from verbatim_record.retries import Attempts, Retries
from verbatim_record.server_sent_events import Event, EventParser, LineBuffer

T = TypeVar("T")
PlaceT = TypeVar("PlaceT")
PageT = TypeVar("PageT", bound=Page[Any])

# What a read sees if the service has a replica, which may be behind: every commit, all up to this client's last write,
# or what the replica has.
Consistency = Literal["strong", "session", "eventual"]

log = logging.getLogger(__name__)

_BASE: Final = "/api/v1"
_AGENT: Final = f"verbatim-record/{__version__} (python)"
_EVENT_STREAM: Final = "text/event-stream"
_POSITION: Final = "verbatim-position"  # of two, the one that is greater as text covers both
_SILENCE: Final = 60.0  # seconds without a byte of a stream; the service sends a comment every 15
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class Transport(Protocol):
    """The I/O of a client. Each method that sends or receives raises httpx.RequestError when it fails."""

    renewable: bool  # whether `token` may return another token when it is called again

    async def token(self) -> str | None:
        """Return the token for the next attempt, None to send none."""

    async def open(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` and return the answer, without its body."""

    async def read(self, response: httpx.Response) -> None:
        """Read the whole body."""

    def pieces(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives."""

    async def close(self, response: httpx.Response) -> None:
        """Give the connection back, or close it if the body is not read to its end."""

    async def wait(self, seconds: float) -> None:
        """Return after ``seconds``."""


class Core:
    """Carries out the calls of one client; ``timeout`` is in seconds, for connecting and for each part of an answer."""

    def __init__(
        self,
        address: httpx.URL,
        transport: Transport,
        retries: Retries,
        timeout: float,
        consistency: Consistency = "strong",
    ) -> None:
        self._base = str(address).rstrip("/") + _BASE
        self._transport = transport
        self._retries = retries
        self._timeout = timeout
        self._consistency = consistency
        self._position = ""  # of this client's writes
        self._writing = threading.Lock()

    async def send(self, call: Call[T]) -> T:
        """Return the result of ``call``, after as many attempts as it takes; raises VerbatimError."""
        attempts = self._attempts(repeatable=call.repeatable)
        while True:
            try:
                async with self._opened(call) as response:
                    await self._transport.read(response)
                return result_of(call, response)
            except VerbatimError as error:
                pause = attempts.pause(error)
            await self._transport.wait(pause)

    async def pages(self, call: Call[PageT]) -> AsyncGenerator[PageT, None]:
        """Yield the page of ``call``, and each after it; raises VerbatimError."""
        while True:
            page = await self.send(call)
            yield page
            if not page.has_more:
                return
            call = replace(call, query={**call.query, **query(cursor=page.next_cursor)})

    async def lines(self, lines: Lines[T]) -> AsyncGenerator[T, None]:
        """Yield an item for each line of an answer; raises VerbatimError, as TransportError if the answer is cut."""
        attempts, begun = self._attempts(), False
        while True:
            try:
                async with self._opened(lines.call) as response, aclosing(self._transport.pieces(response)) as pieces:
                    buffer, begun = LineBuffer(), True
                    async for piece in pieces:
                        for line in buffer.feed(piece):
                            yield reading(lines.read, line)
            except VerbatimError as error:
                if begun:
                    raise
                pause = attempts.pause(error)
            else:
                return
            await self._transport.wait(pause)

    async def follow(self, following: Following[PlaceT]) -> AsyncGenerator[tuple[PlaceT, MessageResponse], None]:
        """Yield each message after the cursor that comes behind it, and open the stream again whenever it breaks.

        Ends with the conversation. Raises VerbatimError if the service refuses the stream, or if the client cannot open
        it at first; once it was open, the client tries without end.
        """
        place = following.place
        if following.first_place:
            place = (await self.send(following.first_place)).next_cursor
        attempts, opened = self._attempts(), False
        while True:
            parser = EventParser()
            try:
                async with aclosing(self._events(_stream(following.path, place), parser)) as events:
                    async for event in events:
                        match event.kind:
                            case "open":
                                attempts, opened = self._attempts(), True
                            case "end":
                                return
                            case "message" if event.id:
                                place = event.id
                                yield following.read_place(place), reading(MessageResponse.from_json, event.data)
                            case "redacted" if following.on_redacted:
                                following.on_redacted(reading(MessageResponse.from_json, event.data))
            except VerbatimError as error:
                pause = attempts.pause(error, endless=opened) + (parser.retry or 0.0)
                log.info("a stream is opened again in %.1f s: %s", pause, error)
            await self._transport.wait(pause)

    async def _events(self, call: Call[None], parser: EventParser) -> AsyncGenerator[Event, None]:
        """Yield `open` and then the events of a stream; at its end raise TransportError. 204 becomes `end`."""
        async with self._opened(call) as response:
            if response.status_code == HTTPStatus.NO_CONTENT:
                yield Event("end", "", None)
            if not response.headers.get("content-type", "").startswith(_EVENT_STREAM):
                raise UnexpectedResponse(response.status_code)
            yield Event("open", "", None)
            async with aclosing(self._transport.pieces(response)) as pieces:
                async for piece in pieces:
                    for event in parser.feed(piece):
                        yield event
        raise TransportError("The service has closed the stream.")

    @asynccontextmanager
    async def _opened(self, call: Call[Any]) -> AsyncGenerator[httpx.Response, None]:
        """Send ``call`` and give its answer, which is a good one but not read yet."""
        request = self._request(call, await self._transport.token())
        try:
            response = await self._transport.open(request)
            try:
                if not response.is_success:
                    await self._transport.read(response)
                    raise refusal(response)
                self._note_position(call, response)
                yield response
            finally:
                await self._transport.close(response)
        except httpx.RequestError as error:
            sent = not isinstance(error, _NOT_SENT)
            raise TransportError(f"No whole answer came: {type(error).__name__}.", sent=sent) from error

    def _request(self, call: Call[Any], token: str | None) -> httpx.Request:
        headers = {"user-agent": _AGENT, **self._freshness(call), **call.headers}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        if call.body is not None:
            headers["content-type"] = "application/json"
        timeout = httpx.Timeout(self._timeout, read=call.silence or self._timeout)
        return httpx.Request(
            call.method,
            self._base + call.path,
            params=call.query or None,
            headers=headers,
            content=call.body,
            extensions={"timeout": timeout.as_dict()},
        )

    def _note_position(self, call: Call[Any], response: httpx.Response) -> None:
        if call.method is not HTTPMethod.GET:
            with self._writing:  # of several threads, the latest write counts
                written = response.headers.get(_POSITION)
                # No position covers a write that has none, so the next read must see every commit.
                self._position = max(self._position, written) if written else ""

    def _freshness(self, call: Call[Any]) -> dict[str, str]:
        """Return the header that lets a replica answer ``call``, if one may."""
        if call.method is HTTPMethod.GET:
            if self._consistency == "eventual":
                return {"prefer": "consistency=eventual"}
            if self._consistency == "session" and self._position:
                return {_POSITION: self._position}
        return {}

    def _attempts(self, *, repeatable: bool = True) -> Attempts:
        return Attempts(self._retries, repeatable=repeatable, renewable=self._transport.renewable)


def _stream(path: str, place: str | None) -> Call[None]:
    headers = {"accept": _EVENT_STREAM} | ({} if place is None else {"last-event-id": place})
    return Call(HTTPMethod.GET, path, nothing, headers=headers, silence=_SILENCE)
