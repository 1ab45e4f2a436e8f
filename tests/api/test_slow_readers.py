"""Clients that ask for much and read nothing: what the service holds for them is bounded in bytes."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx
import psutil
import pytest

from tests.conftest import serving

MIB = 2**20
READERS = 12
LONG = 60_000  # characters, of which the last takes four bytes: as a `str` each would
_FILL = """
    INSERT INTO messages (conversation_id, role, content, sequence)
    SELECT $1, 'assistant', repeat('x', $2) || '😀', n FROM generate_series(1, $3::int) AS n
"""
# Short messages with long ones between them, and metadata that PostgreSQL compresses.
_MIXED = """
    INSERT INTO messages (conversation_id, role, content, sequence, timestamp, metadata)
    SELECT $1, 'user', repeat('y', CASE WHEN n % 3 = 0 THEN 60000 ELSE n END), n, now() + n * interval '1 second',
        CASE WHEN n % 5 = 0 THEN jsonb_build_object('note', repeat('z', 15000)) ELSE '{}' END
    FROM generate_series(1, 250) AS n
"""


@asynccontextmanager
async def unread(address: str, path: str, count: int) -> AsyncIterator[None]:
    """Ask ``count`` times for ``path``, and read no more than that an answer begins."""
    url = urlsplit(address)
    sockets = []
    try:
        for _ in range(count):
            deaf = socket.socket()
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((url.hostname, url.port))
            deaf.sendall(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode())
            sockets.append(deaf)
        for deaf in sockets:
            begun = await asyncio.to_thread(deaf.recv, 12)
            assert begun == b"HTTP/1.1 200", begun
        yield
    finally:
        for deaf in sockets:
            deaf.close()


@pytest.mark.parametrize(
    "path",
    [
        "conversations/{}/messages?limit=500",
        "conversations/{}/transcript",
        "conversations/{}/live",
        "messages/feed?limit=500",
    ],
)
async def test_clients_that_read_nothing_cost_a_bounded_number_of_bytes(
    database_url: str, connection: asyncpg.Connection, conversation: UUID, path: str
) -> None:
    await connection.execute(_FILL, conversation, LONG, 500)
    with serving(database_url) as address:
        [service] = [each for each in psutil.Process().children() if "serve" in each.cmdline()]
        async with unread(address, f"/api/v1/{path.format(conversation)}", 1):
            before = service.memory_info().rss
        most = before
        async with unread(address, f"/api/v1/{path.format(conversation)}", READERS):
            for _ in range(10):  # those that are sent in pieces may go on for a moment
                most = max(most, service.memory_info().rss)
                await asyncio.sleep(0.05)
    assert (most - before) / MIB < 5 * READERS, f"{(most - before) / MIB:.0f} MiB"


@pytest.mark.pooled
async def test_ordinary_readers_of_large_pages_are_all_answered(
    database_url: str, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute(_FILL, conversation, LONG, 500)
    path = f"/api/v1/conversations/{conversation}/messages?limit=500"
    with serving(database_url) as address:
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            answers = await asyncio.gather(*(client.get(path) for _ in range(10)))
    assert [answer.status_code for answer in answers] == [200] * 10


@pytest.mark.pooled
@pytest.mark.parametrize(
    "path",
    [
        "conversations/{}/messages?limit=100&",
        "conversations/{}/messages?limit=100&order=recorded&",
        "conversations/{}/messages?limit=100&direction=backward&",
        "messages/feed?limit=100&",
    ],
)
async def test_pages_end_where_they_get_too_long_and_meet(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, path: str
) -> None:
    await connection.execute(_MIXED, conversation)
    bodies, sequences, cursor = [], [], ""
    while True:
        answer = await service.get(f"/api/v1/{path.format(conversation)}{cursor}")
        page = answer.json()
        bodies.append(len(answer.content))
        sequences += [message["sequence"] for message in page["data"]]
        assert page["data"]
        if not page["has_more"]:
            break
        cursor = f"cursor={page['next_cursor']}"
    assert sorted(sequences) == sequences or sorted(sequences, reverse=True) == sequences
    assert len(set(sequences)) == len(sequences) == 250
    assert max(bodies) < 1.2 * MIB
    assert len(bodies) > 4


@pytest.mark.pooled
async def test_a_list_of_conversations_ends_where_its_intents_get_too_long(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute(
        "INSERT INTO conversations (context_type, intent_payload) "
        "SELECT 'voice', jsonb_build_object('note', repeat('x', 60000)) FROM generate_series(1, 40)"
    )
    first = (await service.get("/api/v1/conversations?limit=500")).json()
    rest, has_more = [], first["has_more"]
    page = first
    while page["has_more"]:
        page = (await service.get(f"/api/v1/conversations?limit=500&cursor={page['next_cursor']}")).json()
        rest += page["data"]
    assert (len(first["data"]), has_more) == (17, True)
    assert len({each["id"] for each in first["data"] + rest}) == 40
