"""The limits of one worker's HTTP connections, each with its unit and its source."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

KiB = 1024
MiB = 1024 * KiB


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The limits of one worker's HTTP connections; all are inclusive.

    Time counts in ticks during which the process ran, so a worker that was stopped or busy disconnects no client for
    that time. A deadline is therefore exact to one tick.
    """

    connections: int = 4096
    """Ordinary connections of all clients; see `files.allow_connections` for the open files that they need."""
    connections_per_address: int = 1024
    """Connections of one address (IPv6: of one /64)."""
    spare_connections: int = 1024
    """Connections above `connections`, for the paths of `HEALTH` only; requests for other paths get 503."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Addresses that send requests of many clients: the limits per address do not apply to them."""

    tick: float = 1.0
    """Seconds between two checks of the deadlines of all connections."""
    read_bytes: int = 16 * KiB
    """Bytes read from a socket at once; also the most that is buffered of a body or of a pipelined request."""

    head_bytes: int = 32 * KiB
    """Bytes of a request line with all header fields. Node.js allows 16 KiB, nginx 32 KiB."""
    head_fields: int = 100
    """Header fields of one request (Apache: 100); each takes about 200 bytes of memory, however short it is."""
    turned_away_seconds: float = 2.0
    """Seconds before a connection's next request is read after one was refused with 503; the same as `Retry-After`.

    Up to half as much again at random, so that refused clients do not all come back at once.
    """
    head_seconds: float = 10.0
    """Seconds for a whole head, from connecting or from its first byte."""
    small_head: int = 4 * KiB
    """Bytes of a head that is not counted in `heads`; nearly all heads are smaller."""
    heads: int = 8 * MiB
    """Bytes of larger heads, of all running requests; the application copies a path three times."""
    heads_per_address: int = 4 * MiB
    """The same of one address."""

    body_seconds: float = 300.0
    """Seconds for a body: the largest, 2 MiB, over EDGE (7 KiB/s from the phone)."""
    body_grace: float = 10.0
    """Seconds after which `body_rate` applies."""
    body_rate: int = 1 * KiB
    """Bytes a second that a client must send of a body on average, after `body_grace`."""
    unread_seconds: float = 10.0
    """Seconds in which the rest of a body is discarded after the response; then the connection is closed."""
    unread_bytes: int = 16 * MiB
    """Bytes of a body that are discarded so that a client which reads after sending gets the response, not a reset."""
    discards: int = 1_000
    """Pieces of `read_bytes` discarded in a second, over all connections; measured: about 3 % of a processor."""
    discarding: int = 64
    """Connections on which the rest of a body is discarded at the same time."""
    discarding_per_address: int = 16
    """The same of one address."""
    linger_seconds: float = 2.0
    """Seconds in which a refused client can read the refusal before its connection is reset."""

    write_seconds: float = 30.0
    """Seconds in which a client must read `write_bytes` of a response, or all that is left of it."""
    write_bytes: int = 16 * KiB
    """In 30 s: 0.5 KiB/s, a twentieth of what a phone reads over EDGE."""
    unsent: int = 40 * MiB
    """Bytes of responses that clients have not read yet, outside the kernel."""
    unsent_per_address: int = 20 * MiB
    """The same of one address."""
