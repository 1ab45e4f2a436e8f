"""The limits as `verbatim serve` has them."""

import socket
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.conftest import serving
from tests.http_limits.peers import Peer
from tests.waiting import PATIENCE


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_keeps_them_counts_what_it_refuses_and_explains_it(database_url: str, workers: str) -> None:
    limits = {"VERBATIM_CONNECTIONS": "16", "VERBATIM_CONNECTIONS_PER_ADDRESS": "3"}
    with serving(database_url, "--workers", workers, **limits) as address, ExitStack() as stack:

        def connect() -> Peer:
            place = ("127.0.0.1", int(address.rpartition(":")[2]))
            return stack.enter_context(Peer(socket.create_connection(place, PATIENCE, ("127.0.0.9", 0))))

        refused = connect().send(b"GET / HTTP/1.1\r\na: %s" % (b"a" * 40_000)).answer()
        assert refused.problem["type"] == "/problems/head-too-large"
        assert refused.problem["title"] in httpx.get(f"{address}{refused.problem['type']}", timeout=PATIENCE).text

        _ = [connect() for _ in range(3 * int(workers) + 1)]
        deadline = time.monotonic() + PATIENCE
        while 'http_shed_total{reason="evicted"}' not in (metrics := _metrics(address)):
            assert time.monotonic() < deadline
        assert 'verbatim_http_shed_total{reason="head"} 1.0' in metrics


def _metrics(address: str) -> str:
    return httpx.get(f"{address}/metrics", timeout=PATIENCE).text
