"""What stands before a body: at most 32 KiB, 100 fields and ten seconds."""

import pytest

from tests.http_limits.peers import served, shed

ENDLESS = 64 * 2**20


@pytest.mark.parametrize(
    "begin",
    [b"GET /", b"GET / HTTP/1.1\r\na: ", b"GET / HTTP/1.1\r\na", b"POST / HTTP/1.1\r\ncontent-length: 9\r\na: "],
    ids=["a path", "a value", "a name", "after a length"],
)
def test_an_endless_head_is_cut_off_with_a_problem(begin: bytes) -> None:
    with served() as server, shed("head", 1), server.connect() as peer:
        assert peer.send(begin).send_without_end(b"a" * 4096, 40 * 1024) > 32 * 1024
        answer = peer.answer()
        assert answer.problem["type"] == "/problems/head-too-large"
        assert (answer.status, answer.headers["connection"]) == (431, "close")
        assert peer.is_closed()
        assert server.application.begun == []


def test_a_client_that_goes_on_after_its_refusal_is_let_go() -> None:
    with served(linger_seconds=2 * 0.02) as server, server.connect() as peer:
        assert peer.send(b"GET / HTTP/1.1\r\na: ").send_without_end(b"a" * 65536, ENDLESS * 2**10) < ENDLESS * 2**10


def test_a_head_of_32_kib_is_taken_and_one_byte_more_is_not() -> None:
    frame = b"GET / HTTP/1.1\r\na: %s\r\n\r\n"
    with served() as server, server.connect() as one, server.connect() as other:
        assert one.send(frame % (b"a" * (32 * 1024 - len(frame) + 2))).answer().status == 200
        assert other.send(frame % (b"a" * (32 * 1024 - len(frame) + 3))).answer().status == 431


def test_a_head_has_at_most_a_hundred_fields() -> None:
    with served() as server, server.connect() as one, server.connect() as other, shed("head", 1):
        assert one.send(b"GET / HTTP/1.1\r\n%s\r\n" % (b"a:\r\n" * 100)).answer().status == 200
        assert other.send(b"GET / HTTP/1.1\r\n%s\r\n" % (b"a:\r\n" * 101)).answer().status == 431


def test_large_heads_of_all_requests_together_are_bounded() -> None:
    head = b"GET /wait HTTP/1.1\r\na: %s\r\n\r\n" % (b"a" * 10_000)
    with served(heads=100_000, heads_per_address=25_000) as server, shed("heads", 1):
        with server.connect() as one, server.connect() as two, server.connect() as three:
            one.send(head)
            two.send(head)
            server.until(lambda: len(server.application.begun) == 2)
            refused = three.send(head).answer()
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert refused.problem["type"] == "/problems/busy"
            with server.connect() as small:
                assert small.get().answer().status == 200
            server.release()
            assert [one.answer().status, two.answer().status] == [200, 200]
        assert server.connections.heads.used == 0


def test_a_connection_that_rests_keeps_nothing_of_its_last_request() -> None:
    post = b"POST /early HTTP/1.1\r\na: %s\r\ncontent-length: 10000\r\n\r\n%s" % (b"a" * 10_000, bytes(10_000))
    with served() as server, server.connect() as peer:
        assert peer.send(post).answer().status == 200
        server.until(lambda: server.connections._idle)
        [connection] = server.connections._idle
        assert connection.cycle is connection.scope is connection.headers is None  # type: ignore[attr-defined]
        assert peer.get().answer().status == 200


def test_large_heads_of_clients_that_vanish_are_forgotten() -> None:
    with served() as server:
        with server.connect() as half, server.connect() as whole:
            half.send(b"GET / HTTP/1.1\r\na: " + b"a" * 10_000)
            whole.send(b"GET /wait HTTP/1.1\r\na: %s\r\n\r\n" % (b"a" * 10_000))
            server.until(lambda: server.connections.heads.used > 20_000)
        server.until(lambda: server.connections.heads.used == 0)


def test_a_silent_connection_is_closed() -> None:
    with served(head_seconds=3 * 0.02) as server, server.connect() as peer, shed("slow_head", 1):
        assert peer.is_closed()


def test_a_head_that_does_not_come_to_its_end_is_refused_however_much_of_it_comes() -> None:
    with served(head_seconds=10 * 0.02) as server, server.connect() as peer, shed("slow_head", 1):
        assert peer.get().answer().status == 200
        peer.send(b"GET / HTTP/1.1\r\n")
        server.let_pass(5 * 0.02)
        peer.send(b"a: b\r\n")
        answer = peer.answer()
        assert (answer.status, answer.problem["type"]) == (408, "/problems/request-timeout")
        assert peer.is_closed()


def test_a_connection_may_rest_between_requests_for_longer_than_a_head_may_take() -> None:
    with served(head_seconds=5 * 0.02) as server, server.connect() as peer:
        assert peer.get().answer().status == 200
        server.let_pass(15 * 0.02)
        assert peer.get().answer().status == 200
        assert peer.is_closed()  # but not for ever


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_requests_may_come_in_pieces_of_any_size(size: int) -> None:
    one = b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n\r\n\r\n\r\n"
    two = b"POST /b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4;x=y\r\n\r\n\r\n\r\n0\r\nt: u\r\n\r\n"
    three = b"GET /c HTTP/1.1\r\nhost: a\r\n\r\n"
    data = (one + two + three) * 3
    with served() as server, server.connect() as peer:
        for begin in range(0, len(data), size):
            peer.send(data[begin : begin + size])
        assert peer.answers(9) == [b"/a 6", b"/b 4", b"/c 0"] * 3


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"GET x:y HTTP/1.1\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_with_a_problem(wrong: bytes) -> None:
    with served() as server, server.connect() as peer, shed("bad_request", 1):
        assert peer.send(wrong).answer().problem["type"] == "/problems/bad-request"
        assert peer.is_closed()


def test_a_request_for_another_protocol_is_answered_as_any_other_and_the_last() -> None:
    with served() as server, server.connect() as peer:
        answer = peer.send(b"GET /a HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").answer()
        assert (answer.body, answer.headers["connection"]) == (b"/a 0", "close")


@pytest.mark.parametrize("method", ["CONNECT", "GET"])
def test_another_protocol_is_refused_where_there_is_no_room(method: str) -> None:
    request = f"{method} /a HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".encode()
    with served(connections=1, connections_per_address=1) as server, server.connect() as one:
        one.get("/wait")
        server.until(lambda: server.application.begun)
        with server.connect() as two:
            assert two.send(request).answer().status == 503


@pytest.mark.parametrize("path", ["/a", "/early"])
def test_a_request_for_another_protocol_may_have_a_body(path: str) -> None:
    head = b"POST %s HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\ncontent-length: 5\r\n\r\n" % path.encode()
    with served() as server, server.connect() as peer:
        assert peer.send(head + b"Hello").answer().status == 200
        assert peer.is_closed()
