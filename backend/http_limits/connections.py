"""All HTTP connections of one worker: how many there may be, and a look at each of them once a tick.

A connection *rests* while it has no complete request and owes no answer. When there is no room for a new one, the
connection that has rested longest is closed for it, of the same address if that has too many. If none rests, the new
connection is a spare one, which is served only what monitoring asks for (`protocol.HEALTH`).
"""

import asyncio
import fcntl
import sys
import termios
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Protocol

from backend.api.rate_limits import network
from backend.budget import Budget
from backend.http_limits.limits import HttpLimits
from backend.http_limits.refusals import Reason
from backend.observability import metrics


class Connection(Protocol):
    """What is asked of a connection here."""

    transport: asyncio.Transport
    address: "Address"

    def look(self) -> None:
        """Close the connection if one of its deadlines has passed."""

    def evict(self) -> None:
        """Close the connection, which rests."""

    @property
    def expendable(self) -> bool:
        """Whether nothing is under way: no complete request has come yet, or it was refused."""


@dataclass(eq=False, slots=True)
class Address:
    """Where connections come from; ``name`` is None if many clients share it, so that it has no share of anything."""

    key: str
    name: str | None
    open: int = 0
    resting: dict[Connection, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Unsent:
    """Bytes of an answer that a peer has not taken, and when it last took `HttpLimits.write_bytes` of them."""

    size: int
    left: int
    since: float


class Connections:
    """The connections of one worker. ``now`` counts seconds in ticks; it is compared with nothing but itself."""

    def __init__(self, limits: HttpLimits) -> None:
        self.limits: Final = limits
        self.now = 0.0
        self.heads: Final = Budget(limits.heads, limits.heads_per_address)
        self.unsent: Final = Budget(limits.unsent, limits.unsent_per_address)
        self._timer: asyncio.TimerHandle | None = None
        self._addresses: dict[str, Address] = {}
        self._ordinary: dict[Connection, None] = {}
        self._spare: dict[Connection, None] = {}  # in the order in which they came
        self._resting: dict[Connection, None] = {}  # in the order in which they began to
        self._stalled: dict[Connection, _Unsent] = {}
        self._discarding: dict[Connection, None] = {}  # in the order in which they began to

    def arrive(self, connection: Connection, host: str) -> bool:
        """List a new connection, and return whether it is an ordinary one rather than a spare one."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.limits.tick, self._look_at_all)
        address = connection.address = self._address(host)
        if self._has_room(address):
            self._addresses[address.key] = address
            self._ordinary[connection] = None
            address.open += 1
            self.rest(connection)
            return True
        self._spare[connection] = None
        if len(self._spare) > self.limits.spare_connections:
            self._drop(next(each for each in self._spare if each.expendable), Reason.CONNECTIONS)
        return False

    def leave(self, connection: Connection) -> None:
        """Take a connection off the list, if it is on it."""
        address = connection.address
        self.work(connection)
        self.flow(connection)
        self.keep(connection)
        self._spare.pop(connection, None)
        if connection in self._ordinary:
            del self._ordinary[connection]
            address.open -= 1
        if not address.open and self._addresses.get(address.key) is address:
            del self._addresses[address.key]

    def rest(self, connection: Connection) -> None:
        """Note that an ordinary connection has no request and owes no answer."""
        if connection in self._ordinary:
            self._resting[connection] = connection.address.resting[connection] = None

    def work(self, connection: Connection) -> None:
        """Note that a connection has a request."""
        self._resting.pop(connection, None)
        connection.address.resting.pop(connection, None)

    def discard(self, connection: Connection) -> float:
        """Note that what a connection receives is discarded; return the seconds until its next piece may be read.

        If too many do so, the one that began first is aborted, of the same address if that has many. It had the
        longest time to read its answer.
        """
        if connection not in self._discarding:
            self._discarding[connection] = None
            rivals = [each for each in self._discarding if each.address is connection.address]
            if len(rivals) > self.limits.discarding_per_address:
                self._drop(rivals[0], Reason.UNREAD_BODY)
            elif len(self._discarding) > self.limits.discarding:
                self._drop(next(iter(self._discarding)), Reason.UNREAD_BODY)
        return len(self._discarding) / self.limits.discards

    def keep(self, connection: Connection) -> None:
        """Note that nothing that a connection receives is discarded any more."""
        self._discarding.pop(connection, None)

    def stall(self, connection: Connection) -> None:
        """Note that the peer has not taken all that was written to it; if too much is unsent, abort connections.

        It does nothing for one that is noted already. A single answer may exceed the limits while there is no other to
        abort for it: it is in memory anyway.
        """
        if connection in self._stalled:
            return
        size = connection.transport.get_write_buffer_size()
        self._stalled[connection] = _Unsent(size, _left(connection.transport), self.now)
        self.unsent.count(connection.address.name, size)
        while rivals := self._rivals(connection.address):
            self._drop(max(rivals, key=self._burden), Reason.UNSENT)

    def flow(self, connection: Connection) -> None:
        """Note that the peer has taken everything, or is gone."""
        if unsent := self._stalled.pop(connection, None):
            self.unsent.give_back(connection.address.name, unsent.size)

    def _has_room(self, address: Address) -> bool:
        if address.name is not None and address.open >= self.limits.connections_per_address:
            return self._make_room(address.resting)
        return len(self._ordinary) < self.limits.connections or self._make_room(self._resting)

    def _make_room(self, resting: Iterable[Connection]) -> bool:
        victim = next(iter(resting), None)
        if victim is None:
            return False
        self.leave(victim)
        victim.evict()
        metrics.HTTP_SHED.labels(Reason.EVICTED).inc()
        return True

    def _rivals(self, address: Address) -> list[Connection]:
        """Return the connections of which one must go, because they leave too much unsent together."""
        if self.unsent.share_exceeded(address.name):
            rivals = [each for each in self._stalled if each.address.name == address.name]
            if len(rivals) > 1:
                return rivals
        return [*self._stalled] if self.unsent.exceeded and len(self._stalled) > 1 else []

    def _burden(self, connection: Connection) -> float:
        """Return byte-seconds: how much a connection has left unsent for how long."""
        unsent = self._stalled[connection]
        return unsent.size * (self.now - unsent.since + self.limits.tick)

    def _drop(self, connection: Connection, reason: Reason) -> None:
        self.leave(connection)
        connection.transport.abort()
        metrics.HTTP_SHED.labels(reason).inc()

    def _look_at_all(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.limits.tick, self._look_at_all)
        self.now += self.limits.tick
        for connection in [*self._stalled]:
            self._look_at_reader(connection)
        for connection in [*self._ordinary, *self._spare]:
            connection.look()
        metrics.HTTP_CONNECTIONS.set(len(self._ordinary) + len(self._spare))
        if not (self._ordinary or self._spare):
            self._timer.cancel()
            self._timer = None

    def _look_at_reader(self, connection: Connection) -> None:
        unsent = self._stalled[connection]
        size = connection.transport.get_write_buffer_size()
        if size < unsent.size:
            self.unsent.give_back(connection.address.name, unsent.size - size)
            unsent.size = size
        if not size:
            self.flow(connection)
            return
        left = _left(connection.transport)
        if left <= unsent.left - self.limits.write_bytes:
            unsent.left, unsent.since = left, self.now
        elif self.now - unsent.since >= self.limits.write_seconds:
            self._drop(connection, Reason.SLOW_READER)

    def _address(self, host: str) -> Address:
        key = network(host)
        address = self._addresses.get(key)
        if address is None:
            address = self._addresses[key] = Address(key, None if self._is_proxy(host) else key)
        return address

    def _is_proxy(self, host: str) -> bool:
        if not self.limits.trusted_proxies:
            return False
        address = ip_address(host)
        return any(address in proxies for proxies in self.limits.trusted_proxies)


def _left(transport: asyncio.Transport) -> int:
    """Return how many bytes the peer has not acknowledged, as far as the operating system tells.

    Linux takes more from us only when a third of what it may hold (up to 4 MiB) was acknowledged, which over a slow
    link takes minutes: what waits here alone does not show that a peer reads.
    """
    left = transport.get_write_buffer_size()
    if sys.platform == "linux" and (file := transport.get_extra_info("socket").fileno()) >= 0:
        held = fcntl.ioctl(file, termios.TIOCOUTQ, b"\0\0\0\0")
        left += int.from_bytes(held, sys.byteorder)
    return left
