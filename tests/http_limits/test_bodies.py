"""Bodies that come slowly, never end, or come after their answer."""

from contextlib import ExitStack
from unittest.mock import Mock

from backend.http_limits import HttpLimits
from backend.http_limits.connections import Address, Connections
from tests.http_limits.peers import TICK, served, shed

POST = b"POST %s HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
CHUNKED = b"POST %s HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


def test_a_body_that_does_not_come_is_refused_and_the_application_hears_that_it_is_over() -> None:
    with served(body_seconds=5 * TICK) as server, server.connect() as peer, shed("slow_body", 1):
        answer = peer.send(POST % (b"/body", 1000) + b"a").answer()
        assert (answer.status, answer.problem["type"]) == (408, "/problems/request-timeout")
        assert peer.is_closed()
        server.until(lambda: server.application.failed == ["/body"])


def test_a_body_must_keep_up_a_rate() -> None:
    limits = {"body_grace": 5 * TICK, "body_rate": 1000 / TICK}
    with served(**limits) as server, server.connect() as slow, server.connect() as fast, shed("slow_body", 1):
        slow.send(POST % (b"/body", 100_000) + bytes(1000))
        fast.send(POST % (b"/body", 100_000) + bytes(50_000))
        server.let_pass(20 * TICK)
        assert slow.answer().status == 408
        assert fast.send(bytes(50_000)).answer().body == b"/body 100000"


def test_a_client_is_not_blamed_for_what_the_application_does_not_read() -> None:
    with served(body_seconds=5 * TICK) as server, server.connect() as peer:
        peer.send(POST % (b"/wait", 2_000_000)).fill(bytes(65536))
        server.let_pass(20 * TICK)
        server.release()
        assert server.application.failed == []


def test_what_is_not_read_of_a_body_stays_with_its_client() -> None:
    with served() as server, server.connect() as peer:
        peer.send(POST % (b"/wait", 2**30)).fill(bytes(65536))
        [connection] = server.connections._ordinary
        assert 0 < len(connection.cycle.body) <= 16 * 1024  # type: ignore[attr-defined]


def test_a_body_that_goes_on_after_its_answer_is_not_read_for_ever() -> None:
    with served(unread_seconds=5 * TICK) as server, server.connect() as peer, shed("unread_body", 1):
        assert peer.send(POST % (b"/early", 2**40)).answer().status == 200
        assert peer.send_without_end(bytes(65536), 2**40) < 2**40


def test_a_body_that_ends_soon_after_its_answer_costs_no_connection() -> None:
    with served() as server, server.connect() as peer:
        assert peer.send(POST % (b"/early", 300_000) + bytes(1000)).answer().status == 200
        assert peer.send(bytes(299_000)).get("/next").answer().body == b"/next 0"


def test_few_bodies_are_discarded_at_once() -> None:
    """Otherwise reading what nobody wants takes the time of all others."""
    with ExitStack() as stack:
        server = stack.enter_context(served(discarding=3, discarding_per_address=2, unread_seconds=60))
        addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.3", "127.0.0.3", "127.0.0.4"]
        peers = [stack.enter_context(server.connect(address)) for address in addresses]
        stack.enter_context(shed("unread_body", 2))
        for peer in peers:
            assert peer.send(POST % (b"/early", 2**40) + b"a").answer().status == 200
            peer.send(b"a")
        assert peers[1].is_closed()  # the first of its address, which has too many
        assert peers[0].is_closed()  # then the first of all
        assert len(server.connections._discarding) == 3


def test_what_is_discarded_is_read_the_slower_the_more_connections_send_it() -> None:
    connections = Connections(HttpLimits(discards=100))
    peers = [Mock(address=Address("127.0.0.1", "127.0.0.1")) for _ in range(4)]
    assert [connections.discard(peer) for peer in peers] == [0.01, 0.02, 0.03, 0.04]
    connections.mark_reading(peers[0])
    assert connections.discard(peers[1]) == 0.03


def test_trailers_without_end_are_cut_off() -> None:
    with served() as server, server.connect() as peer, shed("head", 1):
        peer.send(CHUNKED % b"/body" + b"1\r\na\r\n0\r\nb: ")
        peer.send_without_end(b"b" * 1024, 48 * 1024)
        assert peer.answer().status == 431


def test_a_chunk_size_without_end_is_cut_off() -> None:
    with served() as server, server.connect() as peer, shed("head", 1):
        peer.send(CHUNKED % b"/body" + b"1;")
        peer.send_without_end(b"b" * 1024, 48 * 1024)
        assert peer.answer().status == 431


def test_a_chunked_body_may_hold_empty_lines() -> None:
    with served() as server, server.connect() as peer:
        chunk = b"5000\r\n%s\r\n" % (b"\r\n" * 0x2800)
        peer.send(CHUNKED % b"/body" + chunk * 3 + b"0\r\n\r\n")
        assert peer.answer().body == b"/body %d" % (3 * 0x5000)


def test_trailers_are_left_out() -> None:
    with served() as server, server.connect() as peer:
        peer.send(CHUNKED % b"/wait" + b"0\r\n%s\r\n" % (b"a: b\r\n" * 1000)).get("/next")
        server.until(lambda: any(each._ahead for each in server.connections._ordinary))  # type: ignore[attr-defined]
        [connection] = server.connections._ordinary
        assert len(connection.headers) == 2  # type: ignore[attr-defined]
        server.release()
        assert peer.answers(2) == [b"/wait 0", b"/next 0"]


def test_a_client_may_wait_until_its_body_is_asked_for() -> None:
    with served() as server, server.connect() as peer:
        peer.send(POST.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n") % (b"/body", 5))
        with peer.socket.makefile("rb") as stream:
            assert stream.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert stream.readline() == b"\r\n"
        assert peer.send(b"Hello").answer().body == b"/body 5"
