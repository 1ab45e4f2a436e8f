"""A real Citus cluster: ``VERBATIM_TEST_CITUS`` is the URL of its coordinator, whose database these tests empty.

The user must be a superuser, and each node must have the settings that `docs/scale.md` names.
"""

import asyncio
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import make_url

from backend.migrations import distribution, runner

SHARDS = 8
# Each before its shards, which go with it; alone they could not be dropped.
_TABLES = """
    SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    ORDER BY relname
"""
_FUNCTIONS = """
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'verbatim%'
"""


@pytest.fixture(scope="session")
def coordinator() -> str:
    url = os.environ.get("VERBATIM_TEST_CITUS")
    if not url:
        pytest.skip("VERBATIM_TEST_CITUS names no coordinator of a Citus cluster")
    return url


@pytest.fixture
async def emptied(coordinator: str) -> str:
    """The URL of the coordinator, with the schema of the newest revision and nothing in it, on one node."""
    connection = await asyncpg.connect(coordinator)
    for kind, names in (("TABLE", _TABLES), ("FUNCTION", _FUNCTIONS)):
        for row in await connection.fetch(names):
            await connection.execute(f"DROP {kind} IF EXISTS {row[0]} CASCADE")
    await connection.close()
    await asyncio.to_thread(runner.upgrade, coordinator)
    return coordinator


@pytest.fixture
async def distributed(emptied: str) -> str:
    """The same, distributed."""
    await asyncio.to_thread(distribution.distribute, emptied, SHARDS, lambda _step: None)
    return emptied


@pytest.fixture
async def sql(coordinator: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(coordinator)
    yield connection
    await connection.close()


async def worker_of(connection: asyncpg.Connection, coordinator: str) -> str:
    """Return the URL of the cluster's first worker."""
    [first, *_] = await connection.fetch(
        "SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards ORDER BY nodeid"
    )
    return (
        make_url(coordinator).set(host=first["nodename"], port=first["nodeport"]).render_as_string(hide_password=False)
    )
