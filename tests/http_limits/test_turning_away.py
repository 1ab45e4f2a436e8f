"""Requests for which the application has no room are refused as soon as their head is read."""

import time
from typing import Final

import pytest

from backend.api.request_queue import Caller, RequestQueue
from backend.observability.metrics import REFUSALS
from tests.http_limits.peers import Served, served

POST: Final = b"POST /a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer %s\r\ncontent-length: 5\r\n\r\nHello"
PAUSE: Final = 0.2  # seconds


class Crowd(RequestQueue):
    """Turns for which so many requests wait that those of all callers but one are refused."""

    may_refuse = True

    def __init__(self, server: Served) -> None:
        super().__init__()
        self.asked: list[Caller] = []
        server.state["request_queue"] = self

    def refuses(self, caller: Caller) -> bool:
        self.asked.append(caller)
        return caller.token == self.asked[0].token


def test_one_is_answered_503_before_the_application_and_its_connection_goes_on_after_a_while() -> None:
    with served(turned_away_seconds=PAUSE) as server, server.connect() as peer:
        Crowd(server)
        begun = time.monotonic()
        refused = peer.send(POST % b"greedy").answer()
        assert refused.status == 503
        assert refused.problem["type"] == "/problems/busy"
        assert refused.headers["retry-after"] == "2"
        assert refused.headers["connection"] == "keep-alive"
        assert not server.application.begun
        assert peer.send(POST % b"another").answer().body == b"/a 5"
        assert time.monotonic() - begun >= PAUSE


def test_each_refusal_is_counted_by_its_problem() -> None:
    refusals = REFUSALS.labels("busy")._value
    before = refusals.get()
    with served() as server:
        Crowd(server)
        for _ in range(3):
            with server.connect() as peer:
                assert peer.send(POST % b"greedy").answer().status == 503
    assert refusals.get() == before + 3


def test_what_is_sent_behind_it_is_not_lost() -> None:
    with served(turned_away_seconds=PAUSE) as server, server.connect() as peer:
        Crowd(server)
        peer.send(POST % b"greedy" + POST % b"another")
        assert peer.answer().status == 503
        assert peer.answer().body == b"/a 5"


@pytest.mark.parametrize("path", [b"/livez", b"/readyz?verbose", b"/metrics"])
def test_monitoring_is_served(path: bytes) -> None:
    with served() as server, server.connect() as peer:
        crowd = Crowd(server)
        assert peer.send(b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % path).answer().status == 200
        assert not crowd.asked


def test_one_that_is_the_last_of_its_connection_is_answered_and_the_connection_closed() -> None:
    with served() as server, server.connect() as peer:
        Crowd(server)
        peer.send((POST % b"greedy").replace(b"host: a", b"connection: close"))
        assert peer.answer().status == 503
        assert peer.is_closed()
