"""The registry of a worker's HTTP connections: bounds their number, and checks each one's deadlines once a tick.

A connection is *idle* while it has no complete request and no response to send. When a new connection finds no room,
the registry closes the connection that has been idle longest, of the same address if that has too many. If none is
idle, the new connection is a spare one, which serves only the paths for monitoring (`protocol.HEALTH`).
"""

import asyncio
import fcntl
import math
import sys
import termios
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Final, Protocol

from backend.api.rate_limits import network
from backend.budget import Budget
from backend.http_limits.limits import HttpLimits
from backend.http_limits.refusals import Reason
from backend.observability import metrics

CHECKS: Final = 16  # in one tick, each of as many connections: hundreds of refusals at once would delay the event loop


class Connection(Protocol):
    """The members of a connection that the registry uses."""

    transport: asyncio.Transport
    address: "Address"

    def check_deadlines(self) -> None:
        """Close the connection, or refuse its request, if one of its deadlines has passed."""

    def evict(self) -> None:
        """Close the connection, which is idle."""

    @property
    def expendable(self) -> bool:
        """Whether no request is being served: none has arrived completely yet, or it was refused."""


@dataclass(eq=False, slots=True)
class Address:
    """A client's address; ``name`` is None for a trusted proxy, which many clients share, so that no limit applies."""

    key: str
    name: str | None
    open: int = 0
    idle: dict[Connection, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Unsent:
    """Bytes of a response that a client has not read, and when it last read `HttpLimits.write_bytes` of them."""

    size: int
    left: int
    since: float


class Connections:
    """The connections of one worker. ``now`` is a clock of its own, in seconds, which advances by whole ticks."""

    def __init__(self, limits: HttpLimits) -> None:
        self.limits: Final = limits
        self.now = 0.0
        self.heads: Final = Budget(limits.heads, limits.heads_per_address)
        self.unsent: Final = Budget(limits.unsent, limits.unsent_per_address)
        self._timer: asyncio.TimerHandle | None = None
        self._unchecked: list[Connection] = []  # those whose deadlines are checked in the rest of this tick
        self._addresses: dict[str, Address] = {}
        self._ordinary: dict[Connection, None] = {}
        self._spare: dict[Connection, None] = {}  # the oldest first
        self._idle: dict[Connection, None] = {}  # the one that has been idle longest first
        self._stalled: dict[Connection, _Unsent] = {}
        self._discarding: dict[Connection, None] = {}  # the one that has discarded longest first

    def add(self, connection: Connection, host: str) -> bool:
        """Add a new connection from ``host``, and return whether it is an ordinary one, not a spare one."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.limits.tick, self._begin_tick)
        address = connection.address = self._address(host)
        if self._has_room(address):
            self._addresses[address.key] = address
            self._ordinary[connection] = None
            address.open += 1
            self.mark_idle(connection)
            return True
        self._spare[connection] = None
        if len(self._spare) > self.limits.spare_connections:
            self._drop(next(each for each in self._spare if each.expendable), Reason.CONNECTIONS)
        return False

    def remove(self, connection: Connection) -> None:
        """Remove a connection, if it is registered."""
        address = connection.address
        self.mark_busy(connection)
        self.mark_flowing(connection)
        self.mark_reading(connection)
        self._spare.pop(connection, None)
        if connection in self._ordinary:
            del self._ordinary[connection]
            address.open -= 1
        if not address.open and self._addresses.get(address.key) is address:
            del self._addresses[address.key]

    def mark_idle(self, connection: Connection) -> None:
        """Note that a connection has no request and no response to send; only ordinary ones count as idle."""
        if connection in self._ordinary:
            self._idle[connection] = connection.address.idle[connection] = None

    def mark_busy(self, connection: Connection) -> None:
        """Note that a connection has a request."""
        self._idle.pop(connection, None)
        connection.address.idle.pop(connection, None)

    def discard(self, connection: Connection) -> float:
        """Note that the bytes a connection receives are discarded; return the seconds until it may read its next piece.

        Beyond the limits the connection that began to discard first is aborted, of the same address if that has too
        many, because its client had the longest time to read its response.
        """
        if connection not in self._discarding:
            self._discarding[connection] = None
            rivals = [each for each in self._discarding if each.address is connection.address]
            if len(rivals) > self.limits.discarding_per_address:
                self._drop(rivals[0], Reason.UNREAD_BODY)
            elif len(self._discarding) > self.limits.discarding:
                self._drop(next(iter(self._discarding)), Reason.UNREAD_BODY)
        return len(self._discarding) / self.limits.discards

    def mark_reading(self, connection: Connection) -> None:
        """Note that the bytes a connection receives are not discarded any more."""
        self._discarding.pop(connection, None)

    def stall(self, connection: Connection) -> None:
        """Note that the client has not read all of its response; beyond the limits of unsent bytes, abort connections.

        Does nothing for a connection that is noted already. A single response may exceed the limits while there is no
        other to abort, because it is in memory anyway.
        """
        if connection in self._stalled:
            return
        size = connection.transport.get_write_buffer_size()
        self._stalled[connection] = _Unsent(size, _left(connection.transport), self.now)
        self.unsent.count(connection.address.name, size)
        while rivals := self._rivals(connection.address):
            self._drop(max(rivals, key=self._burden), Reason.UNSENT)

    def mark_flowing(self, connection: Connection) -> None:
        """Note that the client has read all of its response, or has disconnected."""
        if unsent := self._stalled.pop(connection, None):
            self.unsent.give_back(connection.address.name, unsent.size)

    def _has_room(self, address: Address) -> bool:
        if address.name is not None and address.open >= self.limits.connections_per_address:
            return self._make_room(address.idle)
        return len(self._ordinary) < self.limits.connections or self._make_room(self._idle)

    def _make_room(self, idle: Iterable[Connection]) -> bool:
        victim = next(iter(idle), None)
        if victim is None:
            return False
        self.remove(victim)
        victim.evict()
        metrics.HTTP_SHED.labels(Reason.EVICTED).inc()
        return True

    def _rivals(self, address: Address) -> list[Connection]:
        """Return the connections of which one must be aborted, because together they have too many unsent bytes."""
        if self.unsent.share_exceeded(address.name):
            rivals = [each for each in self._stalled if each.address.name == address.name]
            if len(rivals) > 1:
                return rivals
        return [*self._stalled] if self.unsent.exceeded and len(self._stalled) > 1 else []

    def _burden(self, connection: Connection) -> float:
        """Return the unsent bytes of a connection times the seconds without progress."""
        unsent = self._stalled[connection]
        return unsent.size * (self.now - unsent.since + self.limits.tick)

    def _drop(self, connection: Connection, reason: Reason) -> None:
        self.remove(connection)
        connection.transport.abort()
        metrics.HTTP_SHED.labels(reason).inc()

    def _begin_tick(self) -> None:
        self.now += self.limits.tick
        for connection in [*self._stalled]:
            self._check_slow_reader(connection)
        self._unchecked = [*self._ordinary, *self._spare]
        metrics.HTTP_CONNECTIONS.set(len(self._unchecked))
        self._check_some(CHECKS)

    def _check_some(self, checks: int) -> None:
        """Check the deadlines of as many connections as are due, so that in ``checks`` calls all are checked."""
        for _ in range(math.ceil(len(self._unchecked) / checks)):
            connection = self._unchecked.pop()
            if connection in self._ordinary or connection in self._spare:
                connection.check_deadlines()
        if not (self._ordinary or self._spare):
            self._unchecked.clear()
            self._timer = None
            return
        following = partial(self._check_some, checks - 1) if checks > 1 else self._begin_tick
        self._timer = asyncio.get_running_loop().call_later(self.limits.tick / CHECKS, following)

    def _check_slow_reader(self, connection: Connection) -> None:
        unsent = self._stalled[connection]
        size = connection.transport.get_write_buffer_size()
        if size < unsent.size:
            self.unsent.give_back(connection.address.name, unsent.size - size)
            unsent.size = size
        if not size:
            self.mark_flowing(connection)
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
    """Return how many bytes the client has not acknowledged, as far as the operating system tells.

    Linux accepts more bytes only when a third of its send buffer (up to 4 MiB) was acknowledged, which takes minutes
    over a slow link. So the bytes in the transport's buffer alone do not show whether the client reads.
    """
    left = transport.get_write_buffer_size()
    if sys.platform == "linux" and (file := transport.get_extra_info("socket").fileno()) >= 0:
        held = fcntl.ioctl(file, termios.TIOCOUTQ, b"\0\0\0\0")
        left += int.from_bytes(held, sys.byteorder)
    return left
