"""What one system call sends of a response."""

import asyncio
from typing import Any

from backend.http_limits.writes import MAX_JOINED, JoinedWrites
from tests.http_limits.peers import Peer, served


class Transport(asyncio.Transport):
    """Notes what each system call would send."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def writelines(self, list_of_data: Any) -> None:
        self.sent.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def a_response(transport: Transport) -> JoinedWrites:
    return JoinedWrites(transport, asyncio.get_running_loop())


async def test_a_head_and_a_short_body_are_sent_together() -> None:
    transport = Transport()
    response = a_response(transport)
    response.write(b"head")
    response.write(b"body")
    assert transport.sent == []
    response.flush()
    await asyncio.sleep(0)
    assert transport.sent == [b"headbody"]


async def test_a_head_is_sent_although_its_body_comes_later() -> None:
    transport = Transport()
    response = a_response(transport)
    for piece in (b"head", b"first event", b"second event"):
        response.write(piece)
        await asyncio.sleep(0)
    assert transport.sent == [b"head", b"first event", b"second event"]


async def test_a_long_response_does_not_wait_in_memory() -> None:
    transport = Transport()
    response = a_response(transport)
    response.write(b"head")
    response.write(bytes(MAX_JOINED))
    response.write(b"end")
    assert transport.sent == [b"head" + bytes(MAX_JOINED)]
    response.flush()
    assert transport.sent[1:] == [b"end"]


async def test_what_was_written_is_sent_before_the_end_and_nothing_after_it() -> None:
    transport = Transport()
    response = a_response(transport)
    response.write(b"last response")
    response.close()
    response.write(b"more")
    response.flush()
    assert transport.sent == [b"last response"]


def test_a_client_gets_head_and_body_in_one_piece() -> None:
    with served() as server, server.connect() as peer:
        for _ in range(20):
            assert b"\r\n\r\n/short" in _first_piece(peer.get("/short"))


def _first_piece(peer: Peer) -> bytes:
    return peer.socket.recv(65536)
