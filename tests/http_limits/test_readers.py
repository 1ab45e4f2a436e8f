"""Peers that do not take their answers: a deadline for each of them, and a bound for all together."""

import pytest

from tests.http_limits.peers import TICK, Peer, Served, served, shed

MiB = 2**20
LARGE = 16 * MiB  # more than a socket takes


def _unsent(server: Served) -> int:
    return sum(each.transport.get_write_buffer_size() for each in [*server.connections._ordinary])


def test_a_peer_that_takes_nothing_of_a_complete_answer_is_let_go() -> None:
    with served(write_seconds=10 * TICK, unsent_per_address=64 * MiB) as server, server.connect() as peer:
        with shed("slow_reader", 1):
            peer.get(f"/large/{LARGE}")
            server.until(lambda: _unsent(server) > MiB)
            server.until(lambda: not server.connections._ordinary)
        assert server.connections.unsent.used == 0


def test_a_slow_peer_may_take_as_long_as_it_needs() -> None:
    limits = {"write_seconds": 10 * TICK, "write_bytes": 16 * 1024, "unsent_per_address": 64 * MiB}
    with served(**limits) as server, server.connect(receive=64 * 1024) as peer:
        peer.get(f"/large/{LARGE}")
        server.until(lambda: _unsent(server) > MiB)
        for _ in range(20):
            taken = 0
            while taken < 64 * 1024:
                taken += len(peer.socket.recv(64 * 1024 - taken))
            server.let_pass(4 * TICK)
        assert server.connections._ordinary


def test_an_answer_that_is_taken_in_the_end_is_whole_and_leaves_nothing() -> None:
    with served() as server, server.connect() as peer:
        peer.get(f"/large/{LARGE // 2}")
        server.until(lambda: _unsent(server) > MiB)
        assert len(peer.answer().body) == LARGE // 2
        server.until(lambda: server.connections.unsent.used == 0)
        assert peer.get("/next").answer().status == 200


@pytest.mark.parametrize("unsent", ["unsent", "unsent_per_address"])
def test_unsent_bytes_are_bounded_by_letting_the_greediest_go(unsent: str) -> None:
    limits = {"tick": 1.0, "unsent": 256 * MiB, "unsent_per_address": 256 * MiB, unsent: 24 * MiB}
    with served(**limits) as server, shed("unsent"):
        peers = [server.connect().get(f"/large/{size * MiB}") for size in (8, 16, 9, 10)]
        server.until(lambda: len(server.application.begun) == 4)
        server.until(lambda: len(server.connections._ordinary) < 4)
        assert server.connections.unsent.used <= 24 * MiB
        assert _is_open(peers[0])
        assert peers[1].is_closed()
        for peer in peers:
            peer.socket.close()
        server.until(lambda: not server.connections._ordinary)
        assert server.connections.unsent.used == 0
        assert server.connections.unsent._callers == {}


def test_one_address_that_takes_nothing_costs_another_nothing() -> None:
    with served(unsent_per_address=8 * MiB) as server:
        innocent = server.connect("127.0.0.2").get(f"/large/{4 * MiB + 4 * MiB}")
        greedy = [server.connect().get(f"/large/{8 * MiB}") for _ in range(8)]
        server.until(lambda: len(server.application.begun) == 9)
        server.until(lambda: len(server.connections._ordinary) < 9)
        assert len(innocent.answer().body) == 8 * MiB
        for peer in [innocent, *greedy]:
            peer.socket.close()


def test_an_answer_that_is_larger_than_all_may_be_is_sent_if_it_is_alone() -> None:
    with served(unsent=2 * MiB, unsent_per_address=MiB) as server, server.connect() as peer, shed("unsent", 0):
        assert len(peer.get(f"/large/{LARGE}").answer().body) == LARGE


def test_an_answer_that_is_larger_than_its_share_costs_no_other_address_anything() -> None:
    with served(unsent=64 * MiB, unsent_per_address=MiB) as server, shed("unsent", 0):
        peers = [server.connect(address).get(f"/large/{LARGE // 2}") for address in ("127.0.0.2", "127.0.0.3")]
        server.until(lambda: len(server.connections._stalled) == 2)
        for peer in peers:
            assert len(peer.answer().body) == LARGE // 2
            peer.socket.close()


def _is_open(peer: Peer) -> bool:
    return len(peer.socket.recv(1)) == 1
