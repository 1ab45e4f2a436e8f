"""How many connections there may be, and what becomes of one too many."""

import subprocess
import sys
from contextlib import ExitStack
from ipaddress import ip_network

import pytest

from tests.http_limits.peers import Peer, Served, served, shed
from tests.waiting import PATIENCE

LIMITS = {"connections": 4, "connections_per_address": 2}


def _busy(stack: ExitStack, server: Served, *addresses: str) -> list[Peer]:
    begun = len(server.application.begun)
    peers = [stack.enter_context(server.connect(address)).get("/wait") for address in addresses]
    server.until(lambda: len(server.application.begun) == begun + len(peers))
    return peers


FOUR = ("127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3")


def test_when_all_are_taken_the_one_that_has_rested_longest_makes_room() -> None:
    with served(**LIMITS) as server, ExitStack() as stack, shed("evicted", 1):
        peers = [stack.enter_context(server.connect(address)) for address in FOUR]
        for peer in [*peers, peers[0]]:
            assert peer.get().answer().status == 200
        assert stack.enter_context(server.connect("127.0.0.4")).get().answer().status == 200
        assert peers[1].is_closed()
        assert [peers[place].get().answer().status for place in (0, 2, 3)] == [200, 200, 200]


def test_an_address_makes_room_for_itself_alone() -> None:
    with served(**LIMITS) as server, ExitStack() as stack, shed("evicted", 3):
        other = stack.enter_context(server.connect("127.0.0.2"))
        assert other.get().answer().status == 200
        peers = [stack.enter_context(server.connect()) for _ in range(5)]
        assert [peer.is_closed() for peer in peers[:3]] == [True, True, True]
        assert [peer.get().answer().status for peer in [*peers[3:], other]] == [200, 200, 200]


@pytest.mark.parametrize(("addresses", "new"), [(FOUR, "127.0.0.4"), (FOUR[:2], "127.0.0.2")], ids=["all", "address"])
def test_when_all_are_busy_only_what_monitoring_asks_for_is_served(addresses: tuple[str, ...], new: str) -> None:
    with served(**LIMITS) as server, ExitStack() as stack:
        busy = _busy(stack, server, *addresses)
        with shed("connections", 1):
            refused = stack.enter_context(server.connect(new)).get("/api").answer()
        assert (refused.status, refused.problem["type"]) == (503, "/problems/busy")
        assert refused.headers["retry-after"] == "1"
        for path in ("/livez", "/readyz?verbose", "/metrics"):
            answer = stack.enter_context(server.connect(new)).get(path).answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        server.release()
        assert [peer.answer().status for peer in busy] == [200] * len(busy)
        assert stack.enter_context(server.connect(new)).get("/api").answer().status == 200


def test_silent_connections_beyond_all_do_not_keep_monitoring_out() -> None:
    with served(**LIMITS, spare_connections=3) as server, ExitStack() as stack:
        _busy(stack, server, *FOUR)
        for _ in range(20):
            stack.enter_context(server.connect("127.0.0.4"))
        assert stack.enter_context(server.connect("127.0.0.4")).get("/livez").answer().status == 200
        assert len(server.connections._spare) <= 3


def test_a_trusted_proxy_may_have_them_all() -> None:
    with served(**LIMITS, trusted_proxies=(ip_network("127.0.0.0/31"),)) as server, ExitStack() as stack:
        _busy(stack, server, *["127.0.0.1"] * 4)


def test_an_address_is_counted_right_whatever_it_had_before() -> None:
    with served(connections=2, connections_per_address=1) as server, ExitStack() as stack:
        busy = _busy(stack, server, "127.0.0.2", "127.0.0.3")
        one, two = server.connect(), server.connect()
        server.until(lambda: len(server.connections._spare) == 2)
        one.socket.close()
        server.until(lambda: len(server.connections._spare) == 1)
        server.release()
        assert [peer.answer().status for peer in busy] == [200, 200]
        first = stack.enter_context(server.connect())
        assert first.get().answer().status == 200
        two.socket.close()
        server.until(lambda: not server.connections._spare)
        assert stack.enter_context(server.connect()).get().answer().status == 200
        assert first.is_closed()
        assert busy[1].get("/next").answer().status == 200


def test_connections_that_are_gone_are_forgotten() -> None:
    with served(**LIMITS) as server:
        with ExitStack() as stack:
            for address in (*FOUR, "127.0.0.4", "127.0.0.4", "127.0.0.4"):
                stack.enter_context(server.connect(address)).get().answer()
            _busy(stack, server, "127.0.0.5")
        server.release()
        connections = server.connections
        server.until(lambda: not (connections._ordinary or connections._spare or connections._addresses))
        assert not connections._resting


def test_files_are_allowed_as_needed_and_connections_lowered_where_they_are_not() -> None:
    script = """
import resource
from backend.http_limits import HttpLimits, allow_connections
limits = HttpLimits(connections=2000, connections_per_address=500)
for hard in (10_000, 1_024):
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    allowed = allow_connections(limits)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(allowed.connections, allowed.connections_per_address, allowed.spare_connections, soft)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE)
    [enough, line, lowered] = done.stdout.splitlines()
    assert enough == "2000 500 1024 3280"
    assert "fewer connections than configured" in line
    assert lowered == "576 500 192 1024"
