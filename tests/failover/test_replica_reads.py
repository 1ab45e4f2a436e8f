"""Reads from a replica: one that names the position of a write sees it, however far the replica is behind.

``VERBATIM_TEST_PAIRS`` is how many pairs of a write and a read a test makes, some at a time.
"""

import asyncio
import os
from typing import Any, Final

import httpx
import pytest

from backend.app import create_app
from backend.observability import metrics
from tests.conftest import running, settings_for, utterance
from tests.failover.servers import Pair
from verbatim_record import AsyncClient
from verbatim_record.problems import ConversationNotFound

PAIRS: Final = int(os.environ.get("VERBATIM_TEST_PAIRS", "80"))
AT_ONCE: Final = 8
EVENTUAL: Final = {"prefer": "consistency=eventual"}


def service_of(servers: Pair) -> Any:
    unlimited = {f"rate_limit_{name}": "1000000/minute" for name in ("address", "subject")}
    return running(create_app(settings_for(servers.primary.url, database_replica_url=servers.standby.url, **unlimited)))


def counted() -> tuple[float, float, float]:
    """How many looks found the replica usable, behind, and away."""
    counters = (metrics.REPLICA_READ, metrics.REPLICA_BEHIND, metrics.REPLICA_AWAY)
    read, behind, away = (each._value.get() for each in counters)
    return read, behind, away


async def write_and_read_often(client: httpx.AsyncClient) -> None:
    """Make ``PAIRS`` pairs, ``AT_ONCE`` at a time."""

    async def repeat() -> None:
        for number in range(PAIRS // AT_ONCE // 2):
            await write_and_read(client, number)

    await asyncio.gather(*(repeat() for _ in range(AT_ONCE)))


async def write_and_read(client: httpx.AsyncClient, number: int) -> None:
    """Write by the pool and by the appender, and read each by the position that its answer names: two pairs."""
    opened = await client.post("/api/v1/conversations", json={"context_type": "voice"})
    path = f"/api/v1/conversations/{opened.json()['id']}"
    read = await client.get(path, headers=at(opened))
    assert read.status_code == 200, (number, read.text)
    said = await client.post("/api/v1/voice/messages", json=utterance(opened.json()["id"]))
    page = await client.get(f"{path}/messages", headers=at(said))
    assert [each["id"] for each in page.json()["data"]] == [said.json()["id"]], number


def at(answer: httpx.Response) -> dict[str, str]:
    return {"verbatim-position": answer.headers["verbatim-position"]}


@pytest.mark.parametrize("setting", ["0", "500ms"])
async def test_a_read_sees_the_write_whose_position_it_names(asynchronous: Pair, setting: str) -> None:
    await asynchronous.standby.ask_all(
        f"ALTER SYSTEM SET recovery_min_apply_delay = '{setting}'", "SELECT pg_reload_conf()"
    )
    async with service_of(asynchronous) as client:
        await write_and_read_often(client)


async def test_while_the_replica_applies_nothing_the_primary_answers_and_afterwards_the_replica(
    asynchronous: Pair,
) -> None:
    # Otherwise the resumed replay ends the connection by which it was resumed, if the primary has run VACUUM meanwhile.
    await asynchronous.standby.ask_all("ALTER SYSTEM SET max_standby_streaming_delay = -1", "SELECT pg_reload_conf()")
    async with service_of(asynchronous) as client:
        await asynchronous.standby.ask_all("SELECT pg_wal_replay_pause()")
        before = counted()
        await write_and_read_often(client)
        assert counted() == (before[0], before[1] + PAIRS, before[2])
        opened = await client.post("/api/v1/conversations", json={"context_type": "voice"})
        path = f"/api/v1/conversations/{opened.json()['id']}"
        assert (await client.get(path, headers=EVENTUAL)).status_code == 404
        assert (await client.get(path)).status_code == 200
        await asynchronous.standby.ask_all("SELECT pg_wal_replay_resume()")
        await asynchronous.catch_up()
        before = counted()
        for headers in (EVENTUAL, at(opened)):
            assert (await client.get(path, headers=headers)).status_code == 200
        assert counted() == (before[0] + 2, *before[1:])


async def test_a_client_of_a_session_sees_what_it_wrote_and_one_that_is_told_so_what_the_replica_has(
    asynchronous: Pair,
) -> None:
    async with service_of(asynchronous) as http:
        one, other = (AsyncClient(str(http.base_url), consistency=each, http=http) for each in ("session", "eventual"))
        await asynchronous.standby.ask_all("SELECT pg_wal_replay_pause()")
        conversation = (await one.conversations.create("voice")).id
        assert (await one.conversations.get(conversation)).id == conversation
        with pytest.raises(ConversationNotFound):
            await other.conversations.get(conversation)
        await asynchronous.standby.ask_all("SELECT pg_wal_replay_resume()")
        await asynchronous.catch_up()
        before = counted()
        for client in (one, other):
            assert (await client.conversations.get(conversation)).id == conversation
        assert counted() == (before[0] + 2, *before[1:])


async def test_without_the_replica_every_read_goes_to_the_primary(asynchronous: Pair) -> None:
    async with service_of(asynchronous) as client:
        asynchronous.standby.kill()
        await write_and_read(client, 0)
        opened = await client.post("/api/v1/conversations", json={"context_type": "voice"})
        path = f"/api/v1/conversations/{opened.json()['id']}"
        for headers in (EVENTUAL, at(opened), {"verbatim-position": "made up"}, {}):
            assert (await client.get(path, headers=headers)).status_code == 200
