"""What a synchronous standby does not have is not acknowledged, however often it is sent."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx

from backend.app import create_app
from tests.conftest import running, settings_for, utterance
from tests.failover.servers import Node, Pair
from tests.waiting import PATIENCE


async def cancelled(primary: Node, request: Any) -> httpx.Response:
    """Make the request, and cancel the wait for the standby that its commit comes to."""
    answer: asyncio.Task[httpx.Response] = asyncio.create_task(request)
    operator = await primary.connect()
    async with asyncio.timeout(PATIENCE):
        while not answer.done():
            await operator.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    await operator.close()
    return await answer


async def test_what_no_standby_confirmed_is_unknown_until_one_has(synchronous: Pair) -> None:
    async with running(create_app(settings_for(synchronous.url))) as service:
        kept = (await service.post("/api/v1/conversations", json={"context_type": "voice"})).json()["id"]
        requests: list[tuple[str, dict[str, Any]]] = [
            ("/api/v1/conversations", {"id": str(uuid4()), "context_type": "voice"}),
            ("/api/v1/voice/sessions", {"id": "vs_0123456789abcdef"}),
            ("/api/v1/voice/messages", utterance(kept)),
        ]
        synchronous.standby.kill()
        for path, body in requests:
            # The second time it is on record already, on this server, and still nowhere else.
            for _ in range(2):
                answer = await cancelled(synchronous.primary, service.post(path, json=body))
                assert (answer.status_code, answer.json()["type"]) == (503, "/problems/database-unavailable"), path
        synchronous.standby.start()
        await synchronous.catch_up()
        for path, body in requests:
            assert (await service.post(path, json=body)).status_code == 200, path
