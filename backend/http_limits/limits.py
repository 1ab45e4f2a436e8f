"""The numbers, each with its unit and where it comes from."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

KiB = 1024
MiB = 1024 * KiB


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What one worker grants to the clients of its HTTP connections.

    Seconds are counted in ticks in which the process ran: a worker that was stopped or busy holds that time against no
    client. A deadline is therefore kept to within one tick.
    """

    connections: int = 4096
    """Connections in all; see `files.allow_connections` for the files that they need."""
    connections_per_address: int = 1024
    """Connections of one address (of IPv6: of one /64)."""
    spare_connections: int = 1024
    """Connections beyond those: they are served only the paths of `HEALTH` in `protocol`, all else is 503 at once."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Addresses that speak for many clients: no limit by address holds for them."""

    tick: float = 1.0
    """Seconds between two looks at all connections."""
    read_bytes: int = 16 * KiB
    """Bytes read from a socket at once; also the most that waits of a body or of a request that was sent too early."""

    head_bytes: int = 32 * KiB
    """Bytes of a request line with all header fields. Node.js takes 16 KiB, nginx 32 KiB."""
    head_fields: int = 100
    """Header fields of one request, because each takes some 200 bytes of memory however short it is (Apache: 100)."""
    turned_away_seconds: float = 2.0
    """Seconds until the next request is read after one that found no room: as long as `Retry-After` says."""
    head_seconds: float = 10.0
    """Seconds for a whole head, from connecting or from its first byte."""
    small_head: int = 4 * KiB
    """Bytes of a head that are not counted in `heads`: nearly all requests."""
    heads: int = 8 * MiB
    """Bytes of larger heads, of all requests that are under way; the application copies a path thrice."""
    heads_per_address: int = 4 * MiB

    body_seconds: float = 300.0
    """Seconds for a body: 2 MiB over EDGE (7 KiB/s upwards)."""
    body_grace: float = 10.0
    """Seconds before `body_rate` holds."""
    body_rate: int = 1 * KiB
    """Bytes a second that a body must come with on average, after `body_grace`."""
    unread_seconds: float = 10.0
    """Seconds in which the rest of a body is discarded after the answer; then the connection is closed."""
    unread_bytes: int = 16 * MiB
    """Bytes that are discarded so; a client that reads its answer late should still get it, not a reset."""
    discards: int = 1_000
    """Pieces of `read_bytes` discarded in a second, of all connections: about 3 % of a processor."""
    discarding: int = 64
    """Connections of which the rest of a body is discarded at the same time."""
    discarding_per_address: int = 16
    linger_seconds: float = 2.0
    """Seconds in which a client that was refused may take the refusal before its connection is reset."""

    write_seconds: float = 30.0
    """Seconds in which a peer must take `write_bytes` of an answer, or all that is left of it."""
    write_bytes: int = 16 * KiB
    """0.5 KiB/s: a phone over EDGE takes twenty times as much."""
    unsent: int = 40 * MiB
    """Bytes of answers that peers have not taken yet, outside the kernel."""
    unsent_per_address: int = 20 * MiB
