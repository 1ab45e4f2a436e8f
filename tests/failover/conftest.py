"""Pairs of servers, with a database of ours in both."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import clusters
from tests.failover.servers import Pair, pair


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a server that was stopped in order, to be copied."""
    [data] = clusters.prepare(tmp_path_factory.mktemp("cluster")).glob("postgresql-*/data")
    return data


@pytest.fixture
async def synchronous(cluster: Path, tmp_path: Path) -> AsyncIterator[Pair]:
    with pair(cluster, tmp_path, synchronous=True) as servers:
        await servers.begin()
        yield servers


@pytest.fixture
async def asynchronous(cluster: Path, tmp_path: Path) -> AsyncIterator[Pair]:
    with pair(cluster, tmp_path, synchronous=False) as servers:
        await servers.begin()
        yield servers
