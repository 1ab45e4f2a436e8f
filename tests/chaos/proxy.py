"""A network of our own, between any two, that can be as bad as networks are."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Self

_CHUNK: Final = 2**16


class Mode(Enum):
    """What becomes of connections and of bytes."""

    PASS = auto()
    CUT = auto()  # connections end at once; new ones are refused
    HALF_OPEN = auto()  # nothing arrives any more, in either direction, and nobody is told
    DROP_ANSWERS = auto()  # whatever is asked arrives; what is answered is lost


@dataclass
class _Link:
    """A connection through the proxy. Once bytes are lost it is never whole again."""

    near: StreamWriter
    far: StreamWriter
    deaf: set[bool] = field(default_factory=set)  # whether bytes going back (True), going forth (False) are lost

    def suffer(self, mode: Mode) -> None:
        match mode:
            case Mode.CUT:
                self.end()
            case Mode.HALF_OPEN:
                self.deaf |= {True, False}
            case Mode.DROP_ANSWERS:
                self.deaf.add(True)

    def end(self) -> None:
        self.near.transport.abort()
        self.far.transport.abort()


class Proxy:
    """Listens on a port of its own and passes everything on to ``upstream``: a port here, or a Unix socket."""

    def __init__(self, upstream: Callable[[], int | str]) -> None:
        self.port = 0
        self._upstream = upstream
        self._mode = Mode.PASS
        self._delay = 0.0
        self._links: list[_Link] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.turn(Mode.CUT)
        await asyncio.gather(*self._tasks)

    def turn(self, mode: Mode, *, delay: float = 0.0) -> None:
        """Do so from now on, to the connections that there are and to all that come; ``delay`` is in seconds."""
        self._mode, self._delay = mode, delay
        for link in self._links:
            link.suffer(mode)

    def end_links(self, *, deaf_only: bool = False) -> None:
        """End connections, as a network does that is back and knows nothing of them."""
        for link in self._links:
            if link.deaf or not deaf_only:
                link.end()

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._mode is Mode.CUT:
            writer.transport.abort()
            return
        try:
            far_reader, far = await self._dial()
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, far)
        link.suffer(self._mode)
        self._links.append(link)
        try:
            await asyncio.gather(
                self._pump(link, reader, far, back=False), self._pump(link, far_reader, writer, back=True)
            )
        finally:
            link.end()
            self._links.remove(link)

    async def _dial(self) -> tuple[StreamReader, StreamWriter]:
        upstream = self._upstream()
        if isinstance(upstream, str):
            return await asyncio.open_unix_connection(upstream)
        return await asyncio.open_connection("127.0.0.1", upstream)

    async def _pump(self, link: _Link, source: StreamReader, sink: StreamWriter, *, back: bool) -> None:
        with suppress(OSError):
            while data := await source.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                if back not in link.deaf:
                    sink.write(data)
                    await sink.drain()
        if back not in link.deaf:  # else the other side does not learn of the end either
            link.end()
