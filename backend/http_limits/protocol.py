"""One HTTP connection. A connection has at most one request at a time; bytes that follow it wait unread or unparsed.

Uvicorn's parser cannot be stopped in the middle of what it is fed. So it is fed piece by piece: a head up to its empty
line, then a body up to its length. A piece never reaches into the next request.
"""

import asyncio
from typing import Any, Final, TypeVar

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from backend.api.admission import GONE
from backend.api.dependencies import MONITORING
from backend.api.request_queue import RequestQueue, new_caller
from backend.http_limits import refusals
from backend.http_limits.connections import Address, Connections
from backend.http_limits.refusals import Reason, Refusal
from backend.observability import metrics

# What monitoring asks for: served also where there is no room for other connections.
HEALTH: Final = frozenset(path.encode() for path in MONITORING)

# Where a connection stands. Plain numbers, because each request asks several times.
_HEAD: Final = 0  # a head has begun to arrive; so does the first one by the connection itself
_BODY: Final = 1  # a head has come, its body not yet
_ANSWER: Final = 2  # a request has come, its answer is not complete
_REST: Final = 3  # nothing has come since the last answer
_UNREAD: Final = 4  # the answer is complete, the body is not: it is discarded
_REFUSED: Final = 5  # the last answer was given; what still comes is discarded

_SMALL_ANSWER: Final = 4096  # bytes of an answer with its head, that are sent by one system call
_MAPPED: Final = "::ffff:"  # RFC 4291, section 2.5.5.2; followed by dots, as every operating system writes it
_EMPTY_LINE: Final = b"\r\n\r\n"
# Of a target that is no URL or not ASCII, or a length that is no number.
_CLIENTS_FAULTS: Final = (httptools.HttpParserError, ValueError)

PortT = TypeVar("PortT", int, int | None)


class LimitedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, with the limits of ``connections``."""

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
        self._ahead = b""  # what came after the request at hand
        self._tail = b""  # the last bytes of a piece, which may be the first ones of an empty line
        self._length: int | None = None  # bytes that are missing of a body whose length is known
        self._received = 0  # bytes of the head or the body at hand
        self._lines = 0  # bytes since the last one of a body: of a head, of a chunk's size or of trailers
        self._waited = 0.0  # seconds in which a body could have come
        self._large_head = 0  # bytes counted in the budget for heads
        self._turned_away = False  # its last request was, and the next one is not read yet
        self.flow: _Flow

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.client, self.server = _unmapped(self.client), _unmapped(self.server)
        self.flow = _Flow(transport)
        # `pause_writing` tells of more than this that a peer has not taken; `look`, of less. With a limit of 0, uvloop
        # would send the head and the body of each answer by two system calls.
        transport.set_write_buffer_limits(high=_SMALL_ANSWER)
        host = self.client[0] if self.client else ""
        self._spare = not self._connections.arrive(self, host)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        self._connections.leave(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._connections.stall(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._connections.flow(self)
        if self._phase == _REST and not self._ahead:
            self._connections.rest(self)

    # What comes

    def data_received(self, data: bytes) -> None:
        if self._phase == _ANSWER:
            self._wait_with(data)
        elif self._phase == _REFUSED:
            self._discard_slowly()
        else:
            self._feed(data)
            if self._phase == _UNREAD:
                self._discard_slowly()

    def _discard_slowly(self) -> None:
        """Read no more for a moment: an event loop may otherwise read one socket 32 times before the next."""
        self.flow.pause_reading()
        self.loop.call_later(self._connections.discard(self), self._discard_on)

    def _discard_on(self) -> None:
        if self._phase in {_UNREAD, _REFUSED} and not self.transport.is_closing():
            self.flow.resume_reading()

    def _wait_with(self, data: bytes) -> None:
        self._ahead = data
        self.flow.stop_reading()

    def _feed(self, data: bytes) -> None:
        begin, size = 0, len(data)
        while begin < size:
            if self._phase == _REST and not self._turned_away:
                self._enter(_HEAD)
            elif self._phase in {_ANSWER, _REST}:
                self._wait_with(data[begin:])
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
        """Return where the next empty line ends: of a head, and perhaps of a body in chunks."""
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
            if self._phase in {_BODY, _ANSWER}:
                self.cycle.keep_alive = False  # it is answered as if it had not asked for another protocol
            elif self._phase != _REFUSED:
                self.transport.close()
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, Exception) and not isinstance(error.__context__, _CLIENTS_FAULTS):
                raise  # a fault of ours in what the parser calls
            self._refuse(refusals.NOT_HTTP)
        else:
            if self._phase == _HEAD:
                self._look_at_head()

    def _look_at_head(self) -> None:
        """Refuse the head at hand, complete or not, if it has too many fields or others fill the memory for heads."""
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

    # What the parser finds in it

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase != _HEAD:
            return  # a trailer, which HTTP allows a server to ignore (RFC 9110, section 6.5.1)
        name = name.lower()
        if name == b"content-length":
            self._length = int(value)
        elif name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._phase != _HEAD:
            raise httptools.HttpParserError("a request within another")
        if self._received > self._limits.small_head or len(self.headers) > self._limits.head_fields or self._spare:
            self._look_at_head()
            if self._spare and self._phase == _HEAD and self.url.partition(b"?")[0] not in HEALTH:
                self._refuse(refusals.NO_CONNECTION_FREE)
            if self._phase == _REFUSED:
                return
        if self._finds_no_room():
            self._turn_away()
            return
        super().on_headers_complete()
        self.scope["extensions"] = {GONE: self.transport.is_closing}  # type: ignore[dict-item]
        self._enter(_BODY)
        self._connections.work(self)
        if self._spare:
            self.cycle.keep_alive = False

    def _finds_no_room(self) -> bool:
        """Tell whether the application would refuse the request, which costs five times as much there."""
        queue: RequestQueue | None = self.app_state.get("request_queue")  # from when the application has started
        if queue is None or not queue.crowded or self.address.name is None:
            return False  # of a proxy's requests the application alone knows from whom they come
        token = next((value for name, value in self.headers if name == b"authorization"), None)
        return self.url.partition(b"?")[0] not in HEALTH and queue.refuses(new_caller(token, self.address.name))

    def _turn_away(self) -> None:
        """Answer 503, and read the next request no sooner than the client was asked to send it."""
        if not self.parser.should_keep_alive():
            self._refuse(refusals.OVERLOADED)
            return
        metrics.HTTP_SHED.labels(Reason.OVERLOADED).inc()
        self._enter(_UNREAD)
        self._turned_away = True
        self._connections.work(self)
        self.transport.write(refusals.http_answer(refusals.OVERLOADED, self.server_state.default_headers, last=False))

    def on_body(self, body: bytes) -> None:
        self._lines = 0
        if self._phase == _BODY:
            self.cycle.body += body
            self.cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._length = None
        if self._phase == _BODY:
            self._phase = _ANSWER
            self.cycle.more_body = False
            self.cycle.message_event.set()
        elif self._phase == _UNREAD:
            self._connections.keep(self)
            self._become_free()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self._large_head:
            self._forget_head()
        if self.transport.is_closing():
            return
        if self._phase == _BODY:
            self._enter(_UNREAD)
            self.flow.resume_reading()
        elif self._phase == _ANSWER:
            self._become_free()

    def _become_free(self) -> None:
        self._enter(_REST)
        # A connection that rests keeps nothing of its last request.
        self.cycle = self.scope = self.headers = None  # type: ignore[assignment]
        self.url = b""
        if self._turned_away:
            self.flow.stop_reading()
            self.loop.call_later(self._limits.turned_away_seconds, self._go_on)
        elif self._ahead:
            self.loop.call_soon(self._go_on)
            return
        elif self.flow.read_paused:
            self.flow.resume_reading()
        if not self.flow.write_paused:
            self._connections.rest(self)

    def _go_on(self) -> None:
        """Parse what came too early."""
        self._turned_away = False
        data, self._ahead = self._ahead, b""
        if self._phase == _REST and not self.transport.is_closing():
            self.flow.read_on()
            self._feed(data)

    # What does not come

    def look(self) -> None:
        waited = self._connections.now - self._since
        if self.transport.get_write_buffer_size() and not self.flow.write_paused:
            self._connections.stall(self)
        if self._phase == _REFUSED:
            if waited >= self._limits.linger_seconds:
                self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self._phase == _HEAD:
            self._look_at_waiting_head(waited)
        elif self._phase == _REST and waited >= self.timeout_keep_alive:
            self.transport.close()
        elif self._phase == _UNREAD:
            self._look_at_unread_body(waited)
        elif self._phase == _BODY and not self.flow.read_paused:
            self._look_at_waiting_body()

    def _look_at_waiting_head(self, waited: float) -> None:
        if waited < self._limits.head_seconds:
            return
        if self._received:
            self._refuse(refusals.HEAD_TOO_SLOW)
        else:
            metrics.HTTP_SHED.labels(Reason.SLOW_HEAD).inc()
            self.transport.close()

    def _look_at_unread_body(self, waited: float) -> None:
        if waited >= self._limits.unread_seconds or self._received > self._limits.unread_bytes:
            metrics.HTTP_SHED.labels(Reason.UNREAD_BODY).inc()
            self.transport.close()

    def _look_at_waiting_body(self) -> None:
        limits = self._limits
        self._waited += limits.tick
        wanted = (self._waited - limits.body_grace) * limits.body_rate
        if self._waited >= limits.body_seconds or self._received < wanted:
            self._refuse(refusals.BODY_TOO_SLOW)

    def evict(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()  # to close it would wait for the peer
        else:
            self.transport.close()

    @property
    def expendable(self) -> bool:
        return self._phase in {_HEAD, _REFUSED}

    # The end

    def _refuse(self, refusal: Refusal) -> None:
        """Give the last answer, unless another one has begun; discard what still comes until the client has read it."""
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
        self._connections.work(self)
        self.transport.write(refusals.http_answer(refusal, self.server_state.default_headers))
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.flow.read_on()

    def _enter(self, phase: int) -> None:
        self._phase = phase
        self._since = self._connections.now
        self._received = self._lines = 0
        self._waited = 0.0


def _unmapped(address: tuple[str, PortT] | None) -> tuple[str, PortT] | None:
    """Return an IPv4 address as it is written, which a socket at `::` calls `::ffff:192.0.2.1`."""
    if address is None or not address[0].startswith(_MAPPED):
        return address
    return address[0].removeprefix(_MAPPED), address[1]


class _Flow(FlowControl):
    """Uvicorn's, but what came too early keeps the socket unread whatever the application asks for."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._stopped = False

    def stop_reading(self) -> None:
        """Read nothing until `read_on`."""
        self._stopped = True
        self.pause_reading()

    def read_on(self) -> None:
        """Read again."""
        self._stopped = False
        self.resume_reading()

    def resume_reading(self) -> None:
        if not self._stopped:
            super().resume_reading()
