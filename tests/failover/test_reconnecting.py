"""Every connection finds the primary, whatever became of the host that it led to."""

import asyncio
from collections.abc import Awaitable
from uuid import uuid4

import httpx

from backend.app import create_app
from backend.embedded_postgres.initdb import NAME
from tests.conftest import running, settings_for, utterance
from tests.failover.relay import relayed
from tests.failover.servers import Pair
from tests.waiting import PATIENCE


async def test_a_standby_is_not_written_to_nor_read_from_and_is_taken_once_it_is_the_primary(
    asynchronous: Pair,
) -> None:
    async with running(create_app(settings_for(asynchronous.standby.url))) as service:
        path = f"/api/v1/conversations/{uuid4()}"
        for refused in (
            await service.post("/api/v1/conversations", json={"context_type": "voice"}),
            await service.post("/api/v1/voice/messages", json=utterance(uuid4())),
            await service.get(path),
            await service.get(f"{path}/messages"),
        ):
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/database-unavailable")
        ready = await service.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["database"]) == (503, "read-only")

        asynchronous.primary.kill()
        await asynchronous.standby.promote()
        assert (await service.get("/readyz")).status_code == 200
        assert (await service.post("/api/v1/conversations", json={"context_type": "voice"})).status_code == 201


async def test_a_primary_that_falls_silent_costs_each_connection_one_wait_at_most(asynchronous: Pair) -> None:
    async with relayed(asynchronous.primary.port) as (relay, port):
        url = f"postgresql://{NAME}@127.0.0.1:{port},{asynchronous.standby.place}/{NAME}"
        settings = settings_for(url, statement_timeout=1, pool_size=4)
        async with running(create_app(settings)) as service:
            opened = (await service.post("/api/v1/conversations", json={"context_type": "voice"})).json()
            said = utterance(opened["id"])
            assert (await service.post("/api/v1/voice/messages", json=said)).status_code == 201
            path = f"/api/v1/conversations/{opened['id']}/transcript"
            await asyncio.gather(*(service.get(path) for _ in range(8)))  # every connection of the pool is open
            await asynchronous.catch_up()

            relay.fall_silent()
            await asynchronous.standby.promote()
            first, written = await asyncio.gather(service.get(path), service.post("/api/v1/voice/messages", json=said))
            assert (first.status_code, written.status_code) == (503, 503)
            async with asyncio.timeout(PATIENCE):
                answers = await asyncio.gather(*map(_status, (service.get(path) for _ in range(8))))
                again = await service.post("/api/v1/voice/messages", json=said)
            assert answers == [200] * 8
            assert (again.status_code, again.json()["sequence"]) == (200, 1)


async def _status(request: Awaitable[httpx.Response]) -> int:
    return (await request).status_code
