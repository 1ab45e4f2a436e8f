"""Server-sent events: responses that last as long as the client is connected, reads them, and is authorized.

A keep-alive comment shows proxies that the connection lives. The caller's authorization is checked again once a minute.
A client that reads nothing for `SEND_SECONDS` is disconnected, so that it holds no memory, and may resume.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, Final, TypeVar, cast

import orjson
from fastapi import Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from backend.api.problems import PROBLEMS
from backend.auth import Verified
from backend.errors import RecordError, Unavailable
from backend.observability import metrics
from backend.principal import Principal
from backend.schemas.single_line_json import one_line
from backend.services.live import Stopping

KEEPALIVE: Final = 15.0  # seconds without an item before a keep-alive comment; proxies close after 30 or 60
RECHECK: Final = 60.0  # seconds between two checks of the caller's authorization
SEND_SECONDS: Final = 30.0  # seconds in which a client must read some of what was sent
_LATER: Final = 5.0  # seconds until the next check, after one for which the issuer or the database was not available
# Lines without the empty line that ends an event, because many clients treat that as an event without data. A client
# applies `retry`, in milliseconds, as soon as it reads the line.
_RECONNECT: Final = b"retry: 1000\n"
_KEEPALIVE_COMMENT: Final = b": keep-alive\n"

ItemT = TypeVar("ItemT")


class Permit:
    """The caller's authorization to follow; ``check`` raises a RecordError if the principal is not authorized now."""

    def __init__(self, request: Request, check: Callable[[Principal], Awaitable[None]]) -> None:
        self._verify = cast("Callable[[], Awaitable[Verified]]", request.state.verify)
        self._check = check
        self._again = 0.0  # of the monotonic clock, which an operator cannot set back
        self._expires = 0.0  # of the wall clock, as the `exp` of tokens

    async def ask(self) -> None:
        """Check the token and the authorization now; raises RecordError if either is refused."""
        verified = await self._verify()
        await self._check(verified.principal)
        self._again, self._expires = time.monotonic() + RECHECK, verified.until

    async def refusal(self) -> RecordError | None:
        """Return the refusal of a check that is due; None if none is due, it succeeded, or could not be made now."""
        if time.monotonic() < self._again and time.time() < self._expires:
            return None
        try:
            await self.ask()
        except Unavailable:
            self._again, self._expires = time.monotonic() + _LATER, math.inf
        except RecordError as error:
            return error
        return None


class StreamedResponse(StreamingResponse):
    """A streamed response that holds one piece at a time, and closes the generator of the pieces when it ends."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(pieces, **options)
        self._pieces = pieces

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces until the client disconnects.

        Starlette cancels a task group for that, whose exceptions and frames form reference cycles: the pieces of
        clients that disconnected stayed in memory until a full garbage collection.
        """
        sending = asyncio.create_task(self.stream_response(send))
        disconnect = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait({sending, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, disconnect):
                task.cancel()
            await asyncio.wait({sending, disconnect})
            error = None if sending.cancelled() else sending.exception()
            del sending, disconnect, task
        if error:
            try:
                raise error
            finally:
                del error

    async def stream_response(self, send: Send) -> None:
        """Send the pieces, and close their generator also when sending fails or is cancelled."""
        async with aclosing(self._pieces):
            await super().stream_response(send)


class Stream(StreamedResponse):
    """A response of server-sent events; a client that reads nothing of it for `SEND_SECONDS` is disconnected."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers={"x-accel-buffering": "no"})

    async def stream_response(self, send: Send) -> None:
        """Send the events; raises ClientDisconnect when the client reads nothing for SEND_SECONDS."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        try:
            with metrics.FOLLOWERS.track_inprogress():
                await super().stream_response(send_in_time)
        except TimeoutError:
            raise ClientDisconnect from None


async def events(
    news: AsyncGenerator[ItemT | Stopping | None, None], permit: Permit, write: Callable[[ItemT], Iterable[bytes]]
) -> AsyncGenerator[bytes, None]:
    """Yield the events that ``write`` makes of each item of ``news``.

    After `KEEPALIVE` seconds without an item it yields a keep-alive comment. When the worker stops or the authorization
    ends, it yields `event: resume`, which asks the client to reconnect at the same place: to this worker or another,
    perhaps with a new token.
    """
    yield _RECONNECT
    sent = time.monotonic()
    async with aclosing(news):
        async for item in news:
            if refusal := await permit.refusal():
                yield resume(PROBLEMS[type(refusal)].slug)
                return
            if isinstance(item, Stopping):
                yield resume("stopping")
            elif item is not None:
                for each in write(item):  # one by one, so that little is in memory for a slow client
                    yield each
                sent = time.monotonic()
            elif time.monotonic() - sent >= KEEPALIVE:
                yield _KEEPALIVE_COMMENT
                sent = time.monotonic()


def message(identity: str, document: bytes) -> bytes:
    """Return the event of a message, with ``identity`` as its `id`. PostgreSQL's JSON has no line feeds."""
    return b"event: message\ndata: %b\nid: %b\n\n" % (one_line(document), identity.encode())


def event(kind: str, data: object, *, identity: str | None = None, retry: int | None = None) -> bytes:
    """Return an event of another ``kind`` than a message; ``retry`` is in milliseconds."""
    return format_sse_event(event=kind, data_str=orjson.dumps(data).decode(), id=identity, retry=retry)


def resume(reason: str, *, retry: int | None = None) -> bytes:
    """Return the event that asks a client to reconnect at the same place; ``retry`` is in milliseconds."""
    return event("resume", {"reason": reason}, retry=retry)
