"""Requests that are sent before the one before is answered: one in work, one in wait, the rest unread."""

import gc

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tests.http_limits.peers import served

GET = b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n"


def test_all_are_answered_in_their_order() -> None:
    with served() as server, server.connect() as peer:
        peer.send(b"".join(GET % number for number in range(1000)))
        assert peer.answers(1000) == [b"/%d 0" % number for number in range(1000)]


def test_only_one_of_them_is_in_memory_as_a_request() -> None:
    with served() as server, server.connect() as peer:
        peer.fill(GET % 1 * 1000)
        gc.collect()
        assert sum(isinstance(each, RequestResponseCycle) for each in gc.get_objects()) <= 3


def test_what_comes_while_an_answer_is_under_way_is_not_read_beyond_one_piece() -> None:
    with served() as server, server.connect() as peer:
        peer.get("/wait").fill(GET % 1 * 1000)
        [connection] = server.connections._ordinary
        assert 0 < len(connection._ahead) <= 16 * 1024  # type: ignore[attr-defined]
        assert server.application.begun == ["/wait"]
        server.release()
        assert peer.answers(101) == [b"/wait 0", *[b"/1 0"] * 100]


def test_a_request_sent_too_early_is_answered_after_a_body_too() -> None:
    post = b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nHello"
    with served() as server, server.connect() as peer:
        assert peer.send((post + GET % 1) * 3).answers(6) == [b"/a 5", b"/1 0"] * 3


def test_a_client_that_hangs_up_is_noticed_while_its_request_is_in_work() -> None:
    with served() as server:
        with server.connect() as peer:
            peer.get("/wait")
            server.until(lambda: server.application.begun)
        server.until(lambda: not server.connections._ordinary)
