"""Requests that the request queue lets wait, and deadlines of many connections at once."""

from unittest.mock import Mock

from backend.api.request_queue import Caller, RequestQueue
from backend.http_limits import HttpLimits
from backend.http_limits.connections import CHECKS, Address, Connections
from tests.http_limits.peers import Served, served
from tests.waiting import until


class Closed(RequestQueue):
    """A queue in which every request waits until it is opened."""

    def __init__(self, server: Served) -> None:
        super().__init__()
        self._server = server
        self._closed = True
        server.state["request_queue"] = self

    def _may_run(self, caller: Caller, share: int) -> bool:
        return not self._closed and super()._may_run(caller, share)

    def _is_full(self, share: int) -> bool:
        return self._closed or super()._is_full(share)

    def open(self) -> None:
        self._closed = False
        self._server.loop.call_soon_threadsafe(self._on_tick)


def test_one_that_waits_starts_the_application_only_when_it_may_run() -> None:
    with served() as server, server.connect() as peer, server.connect() as other:
        queue = Closed(server)
        peer.send(b"POST /first HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nHello")
        server.until(lambda: queue._number == 1)
        other.get("/second")
        server.until(lambda: queue._number == 2)
        assert not server.application.begun
        queue.open()
        assert (peer.answer().body, other.answer().body) == (b"/first 5", b"/second 0")


def test_monitoring_does_not_wait() -> None:
    with served() as server, server.connect() as peer:
        queue = Closed(server)
        assert peer.get("/livez").answer().status == 200
        assert not queue._number


async def test_the_deadlines_of_many_connections_are_checked_in_parts() -> None:
    """Hundreds of refusals in one iteration of the event loop would delay every other response."""
    connections = Connections(HttpLimits(tick=0.01))
    peers = [Mock(address=Address("", None)) for _ in range(3 * CHECKS + 1)]
    for peer in peers:
        connections.add(peer, "")
    assert connections._timer is not None
    connections._timer.cancel()
    connections._begin_tick()
    assert sum(peer.check_deadlines.call_count for peer in peers) == 4
    await until(lambda: connections.now >= 0.02)
    assert {peer.check_deadlines.call_count for peer in peers} <= {1, 2}
    for peer in peers:
        connections.remove(peer)
    checked = [peer.check_deadlines.call_count for peer in peers]
    await until(lambda: connections._timer is None)
    assert [peer.check_deadlines.call_count for peer in peers] == checked
