import asyncio

import asyncpg
import pytest

from backend.dao_service.connection import multihost
from backend.dao_service.connection.database import asyncpg_url
from backend.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("postgresql://u:p@one/d", ["one"]),
        ("postgresql://u:p@one:1,two:2/d?sslmode=require", ["?host=one%3A1&sslmode", "?host=two%3A2&sslmode"]),
        ("postgres://one,two", ["?host=one", "?host=two"]),
        ("postgresql://u:p@,me@one:1,two/d", ["?host=one%3A1", "?host=two"]),
        ("postgresql://[::1]:1,[::2]/d", ["?host=%5B%3A%3A1%5D%3A1", "?host=%5B%3A%3A2%5D"]),
        ("postgresql:///d?host=one:1&host=two:2", ["?host=one%3A1", "?host=two%3A2"]),
        ("postgresql:///d?host=/a,/b&port=1,2", ["?host=%2Fa&port=1", "?host=%2Fb&port=2"]),
        ("postgresql:///d?host=/a,/b&port=1", ["?host=%2Fa&port=1", "?host=%2Fb&port=1"]),
    ],
)
def test_each_host_of_a_url_is_found_however_it_is_written(url: str, places: list[str]) -> None:
    found = [each.render_as_string(hide_password=False) for each in multihost.split_hosts(asyncpg_url(url))]
    assert len(found) == len(places)
    for place, written in zip(places, found, strict=True):
        assert place in written
        assert ("u:p" in written) == ("u:p" in url)


def test_more_ports_than_hosts_are_one_sentence() -> None:
    with pytest.raises(SettingsError) as refused:
        asyncpg_url("postgresql://u:secret@/d?host=one,two&port=1,2,3")
    assert "secret" not in str(refused.value)


async def test_who_answers_first_is_taken_and_nobody_is_waited_for(connection: asyncpg.Connection) -> None:
    async def silent() -> asyncpg.Connection:
        await asyncio.Event().wait()
        raise AssertionError

    async def refusing() -> asyncpg.Connection:
        raise ConnectionRefusedError

    async def answering() -> asyncpg.Connection:
        return connection

    assert await multihost.first_connected([silent(), refusing(), answering()]) is connection


async def test_of_several_failures_the_one_that_tells_most_is_raised() -> None:
    async def failing(error: Exception) -> asyncpg.Connection:
        raise error

    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await multihost.first_connected([failing(TimeoutError()), failing(asyncpg.TargetServerAttributeNotMatched())])
    with pytest.raises(ConnectionRefusedError):
        await multihost.first_connected([failing(ConnectionRefusedError()), failing(TimeoutError())])
