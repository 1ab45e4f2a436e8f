"""Connections are accepted as they come, however busy the event loop is."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from backend.http_limits import loop as module
from backend.http_limits.loop import MAX_ACCEPTED, Loop

MANY = MAX_ACCEPTED + 44  # connections, more than one iteration accepts


class Greeter(asyncio.Protocol):
    """Notes in which iteration of its loop a connection came."""

    def __init__(self, iteration: list[int], arrived: list[int]) -> None:
        self._iteration, self._arrived = iteration, arrived

    def connection_made(self, transport: Any) -> None:
        self._arrived.append(self._iteration[0])
        transport.write(b"hello")
        transport.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as opened:
        yield opened


def run(main: Any) -> Any:
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)


def test_many_connections_are_accepted_in_one_iteration_but_not_all(listener: socket.socket) -> None:
    """uvloop's own server takes one; with iterations of 0.1 s the last of these would wait for half a minute."""
    iteration, arrived = [0], list[int]()

    async def main() -> None:
        clients = [socket.create_connection(listener.getsockname(), timeout=20) for _ in range(MANY)]
        server = await asyncio.get_running_loop().create_server(lambda: Greeter(iteration, arrived), sock=listener)
        while len(arrived) < MANY:
            iteration[0] += 1
            await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
        assert all(client.recv(5) == b"hello" for client in clients)
        for client in clients:
            client.close()

    run(main())
    most = max(arrived.count(each) for each in arrived)
    assert MAX_ACCEPTED / 2 <= most <= MAX_ACCEPTED


def test_after_a_time_without_files_connections_are_accepted_again(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.01)
    iteration, arrived = [0], list[int]()
    accepts = [OSError(errno.EMFILE, "Too many open files")]

    class Exhausted:
        """A listening socket whose process has no file left, once."""

        fileno, setblocking = listener.fileno, listener.setblocking

        def accept(self) -> Any:
            if accepts:
                raise accepts.pop()
            return listener.accept()

    async def main() -> None:
        exhausted: Any = Exhausted()
        greeter = partial(Greeter, iteration, arrived)
        server = await asyncio.get_running_loop().create_server(greeter, sock=exhausted)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        assert await reader.read() == b"hello"
        writer.close()
        server.close()

    run(main())
    assert not accepts
