"""Reads from a replica: one that names the position of a write sees it, however far the replica is behind.

``VERBATIM_TEST_PAIRS`` is how many pairs of a write and a read a test makes, some at a time.
"""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import pytest

from backend.app import create_app
from backend.dao_service.connection import replica
from backend.dao_service.connection.replica import ReplicatedDatabase
from backend.observability import metrics
from tests.conftest import running, settings_for, utterance
from tests.failover.servers import Pair
from tests.waiting import PATIENCE
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


async def pause(servers: Pair) -> None:
    """Let the replica apply nothing; it has applied a transaction, whose time says how far it is."""
    await servers.primary.ask("SELECT pg_logical_emit_message(true, '', '')::text")
    await servers.catch_up()
    await servers.standby.ask("SELECT pg_wal_replay_pause()")


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", source, target], check=True)  # with the owner of each file


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
    asynchronous: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise the resumed replay ends the connection by which it was resumed, if the primary has run VACUUM meanwhile.
    await asynchronous.standby.ask_all("ALTER SYSTEM SET max_standby_streaming_delay = -1", "SELECT pg_reload_conf()")
    monkeypatch.setattr(replica, "LONGEST_LAG", 1e6)  # for any number of pairs
    async with service_of(asynchronous) as client:
        await pause(asynchronous)
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
        await pause(asynchronous)
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


async def say(client: httpx.AsyncClient, conversation: str, content: str = "Hello.") -> httpx.Response:
    """Record 30 questions with their answers."""
    said = [utterance(UUID(conversation), content, role=role) for _ in range(30) for role in ("user", "assistant")]
    answer = await client.post("/api/v1/voice/messages/batch", json={"messages": said})
    assert {each["status"] for each in answer.json()["results"]} == {201}
    return answer


async def test_an_answer_that_began_with_the_primary_has_no_part_of_a_replica_that_is_behind(
    asynchronous: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    reaches = ReplicatedDatabase._reaches

    async def read_twice(client: httpx.AsyncClient, path: str, half: httpx.Response, **params: str) -> httpx.Response:
        """Read while the replica is found behind at first, and not afterwards; then from the primary."""
        looks = iter((False,))

        async def look(database: ReplicatedDatabase, connection: asyncpg.Connection, position: int) -> bool:
            return next(looks, await reaches(database, connection, position))

        monkeypatch.setattr(ReplicatedDatabase, "_reaches", look)
        found = await client.get(path, params=params, headers=at(half))
        assert next(looks, None) is None
        whole = await client.get(path, params=params)
        assert (found.text, found.headers.get("etag")) == (whole.text, whole.headers.get("etag"))
        return found

    async with service_of(asynchronous) as client:
        conversation = (await client.post("/api/v1/conversations", json={"context_type": "voice"})).json()["id"]
        path = f"/api/v1/conversations/{conversation}"
        half = await say(client, conversation, "x" * 20_000)  # of several parts
        await asynchronous.catch_up()
        await asynchronous.standby.ask_all("SELECT pg_wal_replay_pause()")
        await say(client, conversation, "x" * 20_000)
        transcript = await read_twice(client, f"{path}/transcript", half, format="jsonl")
        assert len(transcript.text.splitlines()) == 120
        summary = await read_twice(client, path, half, include="summary")
        assert summary.json()["summary"]["turns"] == 120


async def test_an_older_copy_in_the_place_of_the_replica_is_found_behind(asynchronous: Pair, tmp_path: Path) -> None:
    standby = asynchronous.standby
    standby.kill()
    copy(standby.data, tmp_path / "older")
    standby.start()
    async with service_of(asynchronous) as client:
        opened = await client.post("/api/v1/conversations", json={"context_type": "voice"})
        path = f"/api/v1/conversations/{opened.json()['id']}"
        await asynchronous.catch_up()
        before = counted()
        assert (await client.get(path, headers=at(opened))).status_code == 200
        assert counted() == (before[0] + 1, *before[1:])
        standby.kill()
        shutil.rmtree(standby.data)
        copy(tmp_path / "older", standby.data)
        standby.settings["primary_conninfo"] = ""
        standby.start()
        await (await standby.connect()).close()
        assert (await client.get(path, headers=at(opened))).status_code == 200


async def test_a_replica_that_is_far_behind_serves_no_read_until_it_has_caught_up(
    asynchronous: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service_of(asynchronous) as client:
        opened = await client.post("/api/v1/conversations", json={"context_type": "voice"})
        path = f"/api/v1/conversations/{opened.json()['id']}"
        await asynchronous.catch_up()
        monkeypatch.setattr(replica, "LONGEST_LAG", 0.0)
        # The search worker may be writing what it does once at its start. Then the replica has all there is.
        read_before, *_ = counted()
        async with asyncio.timeout(PATIENCE):
            while counted()[0] == read_before:
                assert (await client.get(path, headers=EVENTUAL)).status_code == 200
        await asynchronous.standby.ask_all("SELECT pg_wal_replay_pause()")
        assert (await client.delete(path)).status_code == 204
        position = await asynchronous.primary.ask("SELECT pg_current_wal_flush_lsn()::text")
        await asynchronous.standby.await_true(f"SELECT pg_last_wal_receive_lsn() >= '{position}'")
        assert (await client.get(path, headers=EVENTUAL)).status_code in {404, 410}
        monkeypatch.setattr(replica, "LONGEST_LAG", 3600.0)
        assert (await client.get(path, headers=EVENTUAL)).status_code == 200
