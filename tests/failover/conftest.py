"""Pairs of servers, with a database of ours that the standby has, too."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backend.dao_service import migrator
from tests.failover.servers import Pair, pair


@pytest.fixture
async def synchronous(tmp_path: Path) -> AsyncIterator[Pair]:
    with pair(tmp_path, synchronous=True) as servers:
        await _migrate(servers)
        yield servers


@pytest.fixture
async def asynchronous(tmp_path: Path) -> AsyncIterator[Pair]:
    with pair(tmp_path, synchronous=False) as servers:
        await _migrate(servers)
        yield servers


async def _migrate(servers: Pair) -> None:
    await servers.standby.await_true("SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')")
    await asyncio.to_thread(migrator.upgrade, servers.url)
    await servers.catch_up()
