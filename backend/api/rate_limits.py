"""How often somebody may come: in fixed windows, counted in this process or, for several workers, in Redis.

Redis is a convenience. When it is away the count goes on in this process, because a limit that fails must not keep
anybody from putting a message on record.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Final, Protocol

import structlog
from limits import RateLimitItem
from limits.aio.storage import RedisStorage
from limits.errors import StorageError

MOST_COUNTED: Final = 100_000  # callers in one window
REDIS_TIMEOUT: Final = 0.25  # seconds
REDIS_PAUSE: Final = 5.0  # seconds that a Redis which did not answer is not asked again

log = structlog.get_logger(__name__)


class Storage(Protocol):
    """Where hits are counted."""

    async def incr(self, key: str, expiry: int) -> int:
        """Count one more for ``key``, which may be forgotten after ``expiry`` seconds, and return how many that are."""


class Memory:
    """Counts in this process.

    The library's own memory looks through all callers at each hit: with ten thousand of them two milliseconds.
    """

    def __init__(self) -> None:
        self._windows: dict[int, tuple[float, Counter[str]]] = {}

    async def incr(self, key: str, expiry: int) -> int:
        """Count one more for ``key``; windows of the same length end together."""
        now = time.time()
        ends, counts = self._windows.get(expiry, (0.0, Counter()))
        if ends <= now:
            ends, counts = (now // expiry + 1) * expiry, Counter[str]()
            self._windows[expiry] = ends, counts
        elif len(counts) >= MOST_COUNTED and key not in counts:
            del counts[next(iter(counts))]
        counts[key] += 1
        return counts[key]


class Redis:
    """Counts in Redis, and in this process while that is away."""

    def __init__(self, url: str) -> None:
        self._redis = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            socket_timeout=REDIS_TIMEOUT,
            socket_connect_timeout=REDIS_TIMEOUT,
        )
        self._memory = Memory()
        self._away_until = 0.0

    async def incr(self, key: str, expiry: int) -> int:
        """Count one more for ``key``."""
        if time.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(REDIS_TIMEOUT * 2):
                    return await self._redis.incr(key, expiry)
            except (StorageError, TimeoutError) as error:
                log.warning("no Redis for the rate limits", error=type(error.__cause__ or error).__name__)
                self._away_until = time.monotonic() + REDIS_PAUSE
        return await self._memory.incr(key, expiry)


@dataclass(frozen=True, slots=True)
class Quota:
    """What became of one limit: ``used`` of ``limit`` requests, and the seconds until the ``window`` ends."""

    name: str
    limit: int
    used: int
    window: int
    reset: int

    @property
    def exceeded(self) -> bool:
        """Whether this request is one too many."""
        return self.used > self.limit


class RateLimits:
    """The limits of the service: for each address and for each subject."""

    def __init__(self, *, address: RateLimitItem, subject: RateLimitItem, storage: Storage) -> None:
        self._address = address
        self._subject = subject
        self._storage = storage

    async def count_address(self, address: str) -> Quota:
        """Count a request from ``address``."""
        return await self._count("address", self._address, _network(address))

    async def count_subject(self, subject: str) -> Quota:
        """Count a request of ``subject``."""
        return await self._count("subject", self._subject, subject)

    async def _count(self, name: str, limit: RateLimitItem, who: str) -> Quota:
        window = limit.get_expiry()
        now = time.time()
        number = int(now // window)
        used = await self._storage.incr(f"verbatim/{name}/{window}/{number}/{who}", window)
        return Quota(name, limit.amount, used, window, int((number + 1) * window - now) + 1)


def rate_limit_headers(quotas: Sequence[Quota]) -> list[tuple[bytes, bytes]]:
    """Return what a client may know of its limits (draft-ietf-httpapi-ratelimit-headers-10)."""
    policy = ", ".join(f'"{quota.name}";q={quota.limit};w={quota.window}' for quota in quotas)
    state = ", ".join(f'"{quota.name}";r={max(0, quota.limit - quota.used)};t={quota.reset}' for quota in quotas)
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]


def _network(address: str) -> str:
    """Return what one caller has of addresses: of IPv6, 2^64 (RFC 6177)."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except ValueError:  # a trusted proxy may say what it likes
        return address
    return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False))
