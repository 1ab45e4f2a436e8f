"""A way to a server that can fall silent, as it does when a host loses its power: nothing is closed, nothing comes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Relay:
    """Passes everything on until it is silent."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._heard = asyncio.Event()
        self._heard.set()
        self._serving: set[asyncio.Task[None]] = set()

    def fall_silent(self) -> None:
        self._heard.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        try:
            await self._heard.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
            # Whichever side ends it, it has ended for both.
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, back, writer))
                group.create_task(self._pass_on(there, writer, back))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._serving.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, *ends: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                await self._heard.wait()
                ends[0].write(data)
        except OSError:
            pass
        finally:
            for end in ends:
                end.transport.abort()

    async def close(self) -> None:
        serving = [*self._serving]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)


@asynccontextmanager
async def relayed(port: int) -> AsyncIterator[tuple[Relay, int]]:
    """Give a relay to ``port``, and the port on which it listens."""
    relay = Relay(port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    try:
        yield relay, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await relay.close()
