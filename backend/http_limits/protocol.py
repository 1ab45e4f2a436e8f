"""The protocol of one HTTP connection: Uvicorn's, with the deadlines and bounds of `limits`.

A connection serves one request at a time. The bytes of pipelined requests after it stay unread in the kernel, or
unparsed in memory. Uvicorn's parser cannot be stopped before the end of the bytes that it is given. So it is given one
piece at a time: a head up to its empty line, then a body up to its length. No piece extends into the next request.
"""

import asyncio
import random
import time
from typing import Any, Final, TypeVar, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from backend.api.admission import ARRIVED, DISCONNECTED, TURN
from backend.api.dependencies import MONITORING
from backend.api.request_queue import Caller, RequestQueue, new_caller
from backend.http_limits import refusals
from backend.http_limits.connections import Address, Connections
from backend.http_limits.refusals import Reason, Refusal
from backend.http_limits.writes import JoinedWrites
from backend.observability import metrics

# The paths for monitoring, which are served also on spare connections.
HEALTH: Final = frozenset(path.encode() for path in MONITORING)

# The phase of a connection. Plain integers, because each request compares them several times.
_HEAD: Final = 0  # a new connection, or one on which a head has begun to arrive
_BODY: Final = 1  # the head has arrived, its body not completely
_RESPONSE: Final = 2  # the request has arrived, its response is not complete
_IDLE: Final = 3  # no byte has arrived since the last response
_UNREAD: Final = 4  # the response is complete, but the body is not: its rest is discarded
_REFUSED: Final = 5  # the last response was sent; further bytes are discarded

_SMALL_RESPONSE: Final = 4096  # bytes of a response that a client may leave unread without being noted as slow
_MAPPED: Final = "::ffff:"  # RFC 4291, section 2.5.5.2; an IPv4 address in dotted form follows
_EMPTY_LINE: Final = b"\r\n\r\n"
# Raised for a target that is no URL or not ASCII, and for a Content-Length that is no number.
_CLIENTS_FAULTS: Final = (httptools.HttpParserError, ValueError)

PortT = TypeVar("PortT", int, int | None)


class LimitedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol for one connection, with the limits of ``connections``."""

    address: Address

    def __init__(
        self,
        connections: Connections,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._connections = connections
        self._limits = connections.limits
        self._phase = _HEAD
        self._since = connections.now  # when the phase began
        self._spare = False
        self._ahead = b""  # bytes after the current request, not parsed yet
        self._tail = b""  # the last bytes of a piece, which may be the first ones of an empty line
        self._length: int | None = None  # bytes that are missing of a body with a Content-Length
        self._received = 0  # bytes of the current head or body
        self._lines = 0  # bytes since the last byte of a body: of a head, of a chunk's size or of trailers
        self._waited = 0.0  # seconds in which the client could have sent the body
        self._large_head = 0  # bytes counted in the budget for heads
        self._turned_away = False  # the last request was refused with 503, and the next one is not read yet
        self.flow: _Flow
        self._queue: RequestQueue | None = None  # of the current request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection."""
        super().connection_made(transport)
        self.client, self.server = _unmapped(self.client), _unmapped(self.server)
        self.flow = _Flow(transport)
        self._writes = JoinedWrites(transport, self.loop)
        # `pause_writing` is called when the client has more unread bytes than this; `check_deadlines` finds fewer.
        transport.set_write_buffer_limits(high=_SMALL_RESPONSE)
        host = self.client[0] if self.client else ""
        self._spare = not self._connections.add(self, host)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the registry."""
        self._forget_head()
        self._connections.remove(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the client reads its response slowly."""
        super().pause_writing()
        self._connections.stall(self)

    def resume_writing(self) -> None:
        """Note that the client has read its response."""
        super().resume_writing()
        self._connections.mark_flowing(self)
        if self._phase == _IDLE and not self._ahead:
            self._connections.mark_idle(self)

    # Bytes that arrive

    def data_received(self, data: bytes) -> None:
        """Parse, keep or discard bytes of the client, as the phase requires."""
        if self._phase == _RESPONSE:
            self._keep_for_later(data)
        elif self._phase == _REFUSED:
            self._discard_slowly()
        else:
            self._feed(data)
            if self._phase == _UNREAD:
                self._discard_slowly()

    def _discard_slowly(self) -> None:
        """Pause reading shortly, because an event loop may otherwise read one socket 32 times before the next one."""
        self.flow.pause_reading()
        self.loop.call_later(self._connections.discard(self), self._discard_on)

    def _discard_on(self) -> None:
        if self._phase in {_UNREAD, _REFUSED} and not self.transport.is_closing():
            self.flow.resume_reading()

    def _keep_for_later(self, data: bytes) -> None:
        self._ahead = data
        self.flow.stop_reading()

    def _feed(self, data: bytes) -> None:
        begin, size = 0, len(data)
        while begin < size:
            if self._phase == _IDLE and not self._turned_away:
                self._enter(_HEAD)
            elif self._phase in {_RESPONSE, _IDLE}:
                self._keep_for_later(data[begin:])
                return
            elif self._phase == _REFUSED:
                return
            if self._length and self._phase != _HEAD:
                end = min(begin + self._length, size)
                self._length -= end - begin
            else:
                end = self._end_of_lines(data, begin)
            self._parse(data[begin:end])
            begin = end
        if self._phase == _BODY and self.cycle.body:
            self.flow.pause_reading()  # until the application asks for it

    def _end_of_lines(self, data: bytes, begin: int) -> int:
        """Return the end of the next empty line, which ends a head and may occur in a chunked body."""
        if self._tail:
            seam = (self._tail + data[begin : begin + 3]).find(_EMPTY_LINE)
            if seam >= 0:
                end = begin + seam + len(_EMPTY_LINE) - len(self._tail)
                self._tail = b""
                return end
        found = data.find(_EMPTY_LINE, begin)
        if found >= 0:
            self._tail = b""
            return found + len(_EMPTY_LINE)
        self._tail = (self._tail + data[max(begin, len(data) - 3) :])[-3:]
        return len(data)

    def _parse(self, piece: bytes) -> None:
        self._received += len(piece)
        if self._length is None or self._phase == _HEAD:
            self._lines += len(piece)
            if self._lines > self._limits.head_bytes:
                self._refuse(refusals.HEAD_TOO_LARGE)
                return
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            if self._phase in {_BODY, _RESPONSE}:
                self.cycle.keep_alive = False  # the request is answered as if it had no Upgrade header
            elif self._phase != _REFUSED:
                self.transport.close()
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Exception) and not isinstance(error.__context__, _CLIENTS_FAULTS):
                raise  # a bug in a callback of the parser
            self._refuse(refusals.NOT_HTTP)
        else:
            if self._phase == _HEAD:
                self._check_head()

    def _check_head(self) -> None:
        """Refuse the current head, complete or not, if it has too many fields or finds no room in the budget."""
        if self.headers is not None and len(self.headers) > self._limits.head_fields:
            self._refuse(refusals.HEAD_TOO_LARGE)
        elif self._received > self._limits.small_head and not self._count_head(self._received):
            self._refuse(refusals.HEADS_FULL)

    def _count_head(self, size: int) -> bool:
        self._forget_head()
        if not self._connections.heads.take(self.address.name, size):
            return False
        self._large_head = size
        return True

    def _forget_head(self) -> None:
        if self._large_head:
            self._connections.heads.give_back(self.address.name, self._large_head)
            self._large_head = 0

    # Callbacks of the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field, and read those that the protocol itself needs."""
        if self._phase != _HEAD:
            return  # a trailer, which HTTP allows a server to ignore (RFC 9110, section 6.5.1)
        name = name.lower()
        if name == b"content-length":
            self._length = int(value)
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the application with the request, or refuse it; raises HttpParserError for a request in another."""
        if self._phase != _HEAD:
            raise httptools.HttpParserError("a request within another")
        if self._received > self._limits.small_head or len(self.headers) > self._limits.head_fields or self._spare:
            self._check_head()
            if self._spare and self._phase == _HEAD and self.url.partition(b"?")[0] not in HEALTH:
                self._refuse(refusals.NO_CONNECTION_FREE)
            if self._phase == _REFUSED:
                return
        self._queue = self._request_queue()
        if self._queue is not None and self._queue.may_refuse and self._queue.refuses(self._caller()):
            self._turn_away()
            return
        super().on_headers_complete()
        self._enter(_BODY)
        self._connections.mark_busy(self)
        if self._spare:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Start the application with the current request as soon as the request queue lets it run.

        A request that waits without a task costs a fifth. So a burst of hundreds delays the event loop that much less.
        """
        extensions: dict[str, object] = {ARRIVED: time.perf_counter(), DISCONNECTED: self.transport.is_closing}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]
        cycle.transport = cast("asyncio.Transport", self._writes)  # it uses no other methods of a transport
        turn = None
        if self._queue is not None:
            turn = extensions[TURN] = self._queue.arrive(self._caller())
        if turn is None or turn.ready is None:
            super()._start_asgi_task(cycle, app)
        else:
            start = super()._start_asgi_task
            turn.ready.add_done_callback(lambda _: start(cycle, app))

    def _request_queue(self) -> RequestQueue | None:
        """Return the queue for the current request; None for monitoring, and before the application has started.

        None also for a request through a trusted proxy, because only the application finds out its client.
        """
        if self.address.name is None or self.url.partition(b"?")[0] in HEALTH:
            return None
        return self.app_state.get("request_queue")

    def _caller(self) -> Caller:
        token = next((value for name, value in self.headers if name == b"authorization"), None)
        return new_caller(token, self.address.key)

    def _turn_away(self) -> None:
        """Answer 503, and do not read the next request before the time in Retry-After has passed."""
        if not self.parser.should_keep_alive():
            self._refuse(refusals.OVERLOADED)
            return
        metrics.HTTP_SHED.labels(Reason.OVERLOADED).inc()
        self._enter(_UNREAD)
        self._turned_away = True
        self._connections.mark_busy(self)
        self.transport.write(refusals.http_response(refusals.OVERLOADED, self.server_state.default_headers, last=False))

    def on_body(self, body: bytes) -> None:
        """Pass a piece of the body on to the application."""
        self._lines = 0
        if self._phase == _BODY:
            self.cycle.body += body
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Note the end of the request."""
        self._length = None
        if self._phase == _BODY:
            self._phase = _RESPONSE
            self.cycle.more_body = False
            self.cycle.message_event.set()
        elif self._phase == _UNREAD:
            self._connections.mark_reading(self)
            self._become_idle()

    def on_response_complete(self) -> None:
        """Note the end of the response; the rest of a body is discarded from now on."""
        self.server_state.total_requests += 1
        self._writes.flush()
        if self._large_head:
            self._forget_head()
        if self.transport.is_closing():
            return
        if self._phase == _BODY:
            self._enter(_UNREAD)
            self.flow.resume_reading()
        elif self._phase == _RESPONSE:
            self._become_idle()

    def _become_idle(self) -> None:
        self._enter(_IDLE)
        # An idle connection holds no memory of its last request.
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]
        self.url = b""
        if self._turned_away:
            self.flow.stop_reading()
            pause = self._limits.turned_away_seconds * random.uniform(1, 1.5)  # noqa: S311 -- spreads the clients
            self.loop.call_later(pause, self._parse_ahead)
        elif self._ahead:
            self.loop.call_soon(self._parse_ahead)
            return
        elif self.flow.read_paused:
            self.flow.resume_reading()
        if not self.flow.write_paused:
            self._connections.mark_idle(self)

    def _parse_ahead(self) -> None:
        """Parse the bytes that arrived before the response to the last request was complete."""
        self._turned_away = False
        data, self._ahead = self._ahead, b""
        if self._phase == _IDLE and not self.transport.is_closing():
            self.flow.read_on()
            self._feed(data)

    # Deadlines

    def check_deadlines(self) -> None:
        """Close the connection or refuse its request if the deadline of its phase has passed (`limits`)."""
        waited = self._connections.now - self._since
        if self.transport.get_write_buffer_size() and not self.flow.write_paused:
            self._connections.stall(self)
        if self._phase == _REFUSED:
            if waited >= self._limits.linger_seconds:
                self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self._phase == _HEAD:
            self._check_slow_head(waited)
        elif self._phase == _IDLE and waited >= self.timeout_keep_alive:
            self.transport.close()
        elif self._phase == _UNREAD:
            self._check_unread_body(waited)
        elif self._phase == _BODY and not self.flow.read_paused:
            self._check_slow_body()

    def _check_slow_head(self, waited: float) -> None:
        if waited < self._limits.head_seconds:
            return
        if self._received:
            self._refuse(refusals.HEAD_TOO_SLOW)
        else:
            metrics.HTTP_SHED.labels(Reason.SLOW_HEAD).inc()
            self.transport.close()

    def _check_unread_body(self, waited: float) -> None:
        if waited >= self._limits.unread_seconds or self._received > self._limits.unread_bytes:
            metrics.HTTP_SHED.labels(Reason.UNREAD_BODY).inc()
            self.transport.close()

    def _check_slow_body(self) -> None:
        limits = self._limits
        self._waited += limits.tick
        wanted = (self._waited - limits.body_grace) * limits.body_rate
        if self._waited >= limits.body_seconds or self._received < wanted:
            self._refuse(refusals.BODY_TOO_SLOW)

    def evict(self) -> None:
        """Close the connection, which is idle, so that a new one finds room."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # `close` would wait until the client has read its response
        else:
            self.transport.close()

    @property
    def expendable(self) -> bool:
        """Whether no request is being served: none has arrived completely yet, or it was refused."""
        return self._phase in {_HEAD, _REFUSED}

    # The last response

    def _refuse(self, refusal: Refusal) -> None:
        """Send the last response, unless another one has begun, and discard further bytes until the client reads it."""
        metrics.HTTP_SHED.labels(refusal.reason).inc()
        answered = self._phase == _UNREAD
        self._enter(_REFUSED)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            answered = cycle.response_started
        if answered:
            self.transport.abort()
            return
        self._connections.mark_busy(self)
        self._writes.write(refusals.http_response(refusal, self.server_state.default_headers))
        self._writes.flush()
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.flow.read_on()

    def _enter(self, phase: int) -> None:
        self._phase = phase
        self._since = self._connections.now
        self._received = self._lines = 0
        self._waited = 0.0


def _unmapped(address: tuple[str, PortT] | None) -> tuple[str, PortT] | None:
    """Return an IPv4 address in dotted form, for which a socket at `::` reports `::ffff:192.0.2.1`."""
    if address is None or not address[0].startswith(_MAPPED):
        return address
    return address[0].removeprefix(_MAPPED), address[1]


class _Flow(FlowControl):
    """Uvicorn's flow control, but while pipelined bytes wait, the application cannot resume reading (back-pressure)."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._stopped = False

    def stop_reading(self) -> None:
        """Pause reading until `read_on` is called, also when the application calls `resume_reading`."""
        self._stopped = True
        self.pause_reading()

    def read_on(self) -> None:
        """Resume reading after `stop_reading`."""
        self._stopped = False
        self.resume_reading()

    def resume_reading(self) -> None:
        if not self._stopped:
            super().resume_reading()
