"""Server-sent events: an answer that goes on for as long as somebody listens, and may."""

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

KEEPALIVE: Final = 15.0  # seconds of silence, which proxies take for death after thirty or sixty
RECHECK: Final = 60.0  # seconds after which it is asked again who listens
SEND_SECONDS: Final = 30.0  # seconds in which a listener must take something of what is sent
_LATER: Final = 5.0  # seconds after which it is asked again, where it could not be told
# Lines without the empty line that ends an event, for many clients take that for an event without data. A client obeys
# `retry`, in milliseconds, as soon as it reads the line.
_RECONNECT: Final = b"retry: 1000\n"
_KEEPALIVE_COMMENT: Final = b": keep-alive\n"

ItemT = TypeVar("ItemT")


class Permit:
    """Whether the caller may still listen. ``check`` raises what it may be refused with now."""

    def __init__(self, request: Request, check: Callable[[Principal], Awaitable[None]]) -> None:
        self._verify = cast("Callable[[], Awaitable[Verified]]", request.state.verify)
        self._check = check
        self._again = 0.0  # by the monotonic clock, which nobody sets back
        self._expires = 0.0  # by the clock that tokens go by

    async def ask(self) -> None:
        """Find out; raises RecordError if not."""
        verified = await self._verify()
        await self._check(verified.principal)
        self._again, self._expires = time.monotonic() + RECHECK, verified.until

    async def refusal(self) -> RecordError | None:
        """Return why not, if it is time to ask again and the answer is no."""
        if time.monotonic() < self._again and time.time() < self._expires:
            return None
        try:
            await self.ask()
        except Unavailable:
            self._again, self._expires = time.monotonic() + _LATER, math.inf
        except RecordError as error:
            return error
        return None


class Streamed(StreamingResponse):
    """An answer in pieces, of which one is held at a time. The generator they come from is closed when it ends."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], **options: Any) -> None:
        super().__init__(pieces, **options)
        self._pieces = pieces

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces until the client hangs up.

        Starlette cancels a task group for that, whose exceptions and frames refer to each other: what a client that
        went away had in hand stayed in memory until the collector came to its oldest generation.
        """
        sending = asyncio.create_task(self.stream_response(send))
        hearing = asyncio.create_task(self.listen_for_disconnect(receive))
        try:
            await asyncio.wait({sending, hearing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, hearing):
                task.cancel()
            await asyncio.wait({sending, hearing})
            error = None if sending.cancelled() else sending.exception()
            del sending, hearing, task
        if error:
            try:
                raise error
            finally:
                del error

    async def stream_response(self, send: Send) -> None:
        """Send the pieces, and close their generator, whichever way it ends."""
        async with aclosing(self._pieces):
            await super().stream_response(send)


class Stream(Streamed):
    """An answer of server-sent events. Who takes nothing of it for ``SEND_SECONDS`` is let go, and may resume."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(events, headers={"x-accel-buffering": "no"})

    async def stream_response(self, send: Send) -> None:
        """Send the events for as long as the client takes them."""

        async def patiently(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        try:
            with metrics.FOLLOWERS.track_inprogress():
                await super().stream_response(patiently)
        except TimeoutError:
            raise ClientDisconnect from None


async def events(
    news: AsyncGenerator[ItemT | Stopping | None, None], permit: Permit, write: Callable[[ItemT], Iterable[bytes]]
) -> AsyncGenerator[bytes, None]:
    """Yield ``news`` as ``write`` puts it, a sign of life where there is none, and why it stops before its end.

    `event: resume` asks the client to come back to the same place: here or elsewhere, perhaps with another token.
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
                for each in write(item):  # one by one, so that whoever is slow has little of it waiting
                    yield each
                sent = time.monotonic()
            elif time.monotonic() - sent >= KEEPALIVE:
                yield _KEEPALIVE_COMMENT
                sent = time.monotonic()


def message(identity: str, document: bytes) -> bytes:
    """Return the event of a message. A JSON document of PostgreSQL's has no line feeds."""
    return b"event: message\ndata: %b\nid: %b\n\n" % (one_line(document), identity.encode())


def event(kind: str, data: object, *, identity: str | None = None, retry: int | None = None) -> bytes:
    """Return an event that is no message; ``retry`` is in milliseconds."""
    return format_sse_event(event=kind, data_str=orjson.dumps(data).decode(), id=identity, retry=retry)


def resume(reason: str, *, retry: int | None = None) -> bytes:
    """Return the event that asks a client to come back to the same place; ``retry`` is in milliseconds."""
    return event("resume", {"reason": reason}, retry=retry)
