"""The parts of the service are put away together, whichever of them fails to start or to close."""

import asyncpg
import pytest

from backend.app import create_app
from backend.auth import Authenticator
from backend.dao_service.wakeups.listen_notify import Notifier
from backend.garbage_collection import GarbageCollection
from tests.conftest import running, settings_for

OURS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Broken(Exception):
    """What nobody foresaw."""


async def settled(connection: asyncpg.Connection) -> int:
    """Return how many connections of the service's are left; PostgreSQL takes a moment to notice that one is gone."""
    for _ in range(200):
        if not await connection.fetchval(OURS):
            return 0
        await connection.execute("SELECT pg_sleep(0.02)")
    left: int = await connection.fetchval(OURS)
    return left


@pytest.mark.parametrize("part", [Authenticator, Notifier])
async def test_a_part_that_fails_to_close_leaves_no_other_open(
    part: type, database_url: str, connection: asyncpg.Connection, request: pytest.FixtureRequest
) -> None:
    monkeypatch, capfd = request.getfixturevalue("monkeypatch"), request.getfixturevalue("capfd")
    close = part.close  # type: ignore[attr-defined]

    async def fail(each: object) -> None:
        await close(each)
        raise Broken

    monkeypatch.setattr(part, "close", fail)
    with pytest.raises(Broken):
        async with running(create_app(settings_for(database_url))) as client:
            assert (await client.get("/api/v1/conversations")).status_code == 200
    assert await settled(connection) == 0
    assert '"event":"stopped"' in capfd.readouterr().out


async def test_a_part_that_fails_to_start_leaves_no_other_open(
    database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_part: GarbageCollection) -> None:
        raise Broken

    monkeypatch.setattr(GarbageCollection, "start", fail)
    with pytest.raises(Broken):
        async with running(create_app(settings_for(database_url))):
            pytest.fail("it has started")
    assert await settled(connection) == 0
