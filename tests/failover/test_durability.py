"""Which durability is in force, as real servers say it."""

import asyncio
import subprocess
import sys
from uuid import uuid4

import pytest

from backend.app import create_app
from tests.conftest import running, settings_for
from tests.failover.servers import Pair


async def durability(url: str) -> dict[str, object]:
    async with running(create_app(settings_for(url))) as service:
        assert "durability" not in (await service.get("/readyz")).json()
        found: dict[str, object] = (await service.get("/readyz?verbose")).json()["durability"]
        return found


def check(url: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "backend", "check"]
    done = subprocess.run(command, env={"DATABASE_URL": url}, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


async def test_synchronous_standbys_are_told_from_others(synchronous: Pair) -> None:
    assert await durability(synchronous.url) == {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "standbys_wanted": 1,
        "standbys_connected": 1,
        "survives": "the loss of the database's server",
    }
    code, said = await asyncio.to_thread(check, synchronous.url)
    assert code == 0
    assert "on the disk of 1 of the standbys standby; it survives the loss of the primary" in said

    synchronous.standby.kill()
    await synchronous.primary.await_true("SELECT NOT EXISTS (SELECT FROM pg_stat_replication)")
    assert (await durability(synchronous.url))["standbys_connected"] == 0
    code, said = await asyncio.to_thread(check, synchronous.url)
    assert "waits for 1 of the standbys standby, but 0 are connected" in said


async def test_standbys_that_nobody_waits_for_are_a_remark_and_a_standby_itself_is_refused(asynchronous: Pair) -> None:
    found = await durability(asynchronous.url)
    assert (found["standbys_wanted"], found["standbys_connected"]) == (0, 0)
    code, said = await asyncio.to_thread(check, asynchronous.url)
    assert "commits do not wait for the connected standbys (1)" in said
    code, said = await asyncio.to_thread(check, asynchronous.standby.url)
    assert (code, said.count("\n")) == (1, 1)
    assert "is a standby and takes no writes" in said


async def test_what_is_hidden_from_the_user_is_unknown(synchronous: Pair, capfd: pytest.CaptureFixture[str]) -> None:
    connection = await synchronous.primary.connect()
    await connection.execute("CREATE ROLE modest LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO modest")
    await connection.execute("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO modest")
    await connection.close()
    url = synchronous.url.replace("//verbatim@", "//modest@")
    assert (await durability(url))["standbys_connected"] is None
    assert "modest" not in capfd.readouterr().out
    async with running(create_app(settings_for(url))) as service:
        opened = {"id": str(uuid4()), "context_type": "voice"}
        statuses = [(await service.post("/api/v1/conversations", json=opened)).status_code for _ in range(2)]
        assert statuses == [201, 200]
