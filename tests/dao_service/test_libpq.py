"""libpq's parameters in DATABASE_URL mean what they mean to libpq, or are refused in a sentence."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from backend.dao_service.connection import libpq
from backend.dao_service.connection.database import Database, asyncpg_url, open_connection
from backend.dao_service.schema_revision import application_name
from backend.embedded_postgres import EmbeddedPostgres
from backend.errors import SettingsError
from tests import clusters
from tests.waiting import PATIENCE

ALL = {
    "channel_binding": "require",
    "client_encoding": "auto",
    "connect_timeout": "7",
    "fallback_application_name": "unheard",
    "application_name": "the orchestrator",
    "options": "-c statement_timeout=1234 -c search_path=public",
    "keepalives": "1",
    "keepalives_idle": "31",
    "keepalives_interval": "11",
    "keepalives_count": "4",
    "tcp_user_timeout": "20000",
    "gssencmode": "prefer",
    "gssdelegation": "0",
    "load_balance_hosts": "random",
    "sslcompression": "0",
    "sslsni": "1",
    "sslmode": "prefer",
    "target_session_attrs": "read-write",
}


def with_parameters(url: str, **parameters: str) -> str:
    return make_url(url).update_query_dict(parameters).render_as_string(hide_password=False)


async def test_a_url_with_all_of_them_connects_and_does_what_they_say(database_url: str) -> None:
    url = asyncpg_url(with_parameters(database_url, **ALL))
    connection = await open_connection(url, timeout=PATIENCE, server_settings={"application_name": "verbatim"})
    assert await connection.fetchval("SHOW application_name") == "the orchestrator: verbatim"
    assert await connection.fetchval("SHOW statement_timeout") == "1234ms"
    assert await connection.fetchval("SHOW search_path") == "public"
    await connection.close()
    database = Database(with_parameters(database_url, **ALL))
    async with database.driver_connection() as driver:
        assert await driver.fetchval("SHOW application_name") == f"the orchestrator: {application_name()}"
    await database.close()


async def test_without_a_name_in_the_url_the_connection_bears_ours(database_url: str) -> None:
    connection = await open_connection(
        asyncpg_url(database_url), timeout=PATIENCE, server_settings={"application_name": "verbatim"}
    )
    assert await connection.fetchval("SHOW application_name") == "verbatim"
    await connection.close()


@pytest.fixture
async def silent() -> AsyncIterator[int]:
    """The port of a server that takes connections and says nothing."""

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    gone = asyncio.Event()
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        gone.set()


async def test_the_time_to_connect_in_the_url_goes_before_ours(silent: int) -> None:
    url = asyncpg_url(f"postgresql://u@127.0.0.1:{silent}/d?connect_timeout=1&sslmode=disable")
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(TimeoutError):
            await open_connection(url, timeout=3600, server_settings={})


def test_a_resting_tcp_connection_is_kept_alive_as_the_url_says() -> None:
    asked = libpq.read_parameters(
        make_url("postgresql://h/d?keepalives_idle=31&keepalives_interval=11&keepalives_count=900")
    )
    with socket.socket() as connected:
        libpq.set_keep_alive(asked, connected)
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        for option, value in (("TCP_KEEPIDLE", 31), ("TCP_KEEPINTVL", 11), ("TCP_KEEPCNT", 127)):
            if hasattr(socket, option):
                assert connected.getsockopt(socket.IPPROTO_TCP, getattr(socket, option)) == value
        libpq.set_keep_alive(libpq.read_parameters(make_url("postgresql://h/d?keepalives=0")), connected)
        assert not connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ("connect_timeout=soon-secret", "connect_timeout must be a whole number"),
        ("keepalives_idle=1.5", "keepalives_idle must be a whole number"),
        ("gssencmode=require", "asyncpg does not support gssencmode=require"),
        ("require_auth=scram-sha-256", "asyncpg does not support require_auth"),
        ("hostaddr=10.0.0.1&requirepeer=secret", "asyncpg does not support hostaddr, requirepeer"),
        ("sslmode=secret", "sslmode must be one of allow, disable, prefer, require, verify-ca, verify-full"),
        ("target_session_attrs=secret", "target_session_attrs must be one of any, "),
    ],
)
def test_what_the_driver_cannot_do_is_a_sentence_without_the_value(parameters: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as refused:
        asyncpg_url(f"postgresql://u:secret@h/d?{parameters}")
    assert "secret" not in str(refused.value)


async def test_variables_meant_for_another_server_do_not_reach_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGDATA": "/nowhere",
        "PGPORT": "6543",
        "PGHOST": "elsewhere.example",
        "PGUSER": "nobody",
        "PGDATABASE": "none",
        "PGPASSWORD": "secret",
        "PGSSLMODE": "verify-full",
        "PGTARGETSESSIONATTRS": "standby",
        "PGDATESTYLE": "nonsense",
        "PGCLIENTENCODING": "nonsense",
        "PGOPTIONS": "-c nonsense=1",
    }.items():
        monkeypatch.setenv(name, value)
    with EmbeddedPostgres(clusters.prepare(tmp_path), durable=False) as server:
        connection: asyncpg.Connection = await open_connection(
            asyncpg_url(server.url), timeout=PATIENCE, server_settings={}
        )
        assert await connection.fetchval("SELECT current_user || '@' || current_database()") == "verbatim@verbatim"
        await connection.close()
