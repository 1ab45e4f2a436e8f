"""How often somebody may come: in fixed windows, counted in this process or, for several workers, in Redis.

Redis is a convenience. When it is away the count goes on in this process, because a limit that fails must not keep
anybody from putting a message on record.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from typing import Final, Self

import structlog

MOST_COUNTED: Final = 100_000  # callers in one window
LONGEST_ADDRESS: Final = 45  # characters, of an IPv4 address mapped into IPv6
REDIS_TIMEOUT: Final = 0.25  # seconds
REDIS_PAUSE: Final = 5.0  # seconds between two questions to a Redis that does not answer
REDIS_CONNECTIONS: Final = 16
_WINDOWS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "year": 31_536_000}  # seconds

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``amount`` requests in each window of ``window`` seconds."""

    amount: int
    window: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate that ``text`` names, as 600/minute; raises ValueError."""
        amount, _, unit = text.partition("/")
        if not amount.isdecimal() or int(amount) < 1 or unit not in _WINDOWS:
            raise ValueError("must be a number of requests in a second, minute, hour, day or year, as 600/minute")
        return cls(int(amount), _WINDOWS[unit])


class Memory:
    """Counts in this process. Windows begin and end at multiples of their length, in the seconds of `now`."""

    def __init__(self) -> None:
        self._windows: dict[int, tuple[float, OrderedDict[str, int]]] = {}

    def now(self) -> float:
        """Return the monotonic clock, which no operator can set back."""
        return time.monotonic()

    async def incr(self, key: str, expiry: int) -> int:
        """Count one more for ``key``, which is forgotten after ``expiry`` seconds, and return how many that are."""
        now = self.now()
        ends, counts = self._windows.get(expiry, (0.0, OrderedDict[str, int]()))
        if ends <= now:
            ends, counts = (now // expiry + 1) * expiry, OrderedDict[str, int]()
            self._windows[expiry] = ends, counts
        counts[key] = counts.get(key, 0) + 1
        counts.move_to_end(key)
        if len(counts) > MOST_COUNTED:
            counts.popitem(last=False)  # whoever has been quiet for longest
        return counts[key]

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class Redis(Memory):
    """Counts in Redis, and in this process while that is away.

    While it is away one request in REDIS_PAUSE seconds asks whether it is back, and nobody else waits for the answer.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        # The extra `redis`, which few have installed and which takes long to import.
        from redis.asyncio import BlockingConnectionPool  # noqa: PLC0415
        from redis.asyncio import Redis as Client  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415

        # A second time, because Redis may have closed any of the connections meanwhile.
        retry = Retry(NoBackoff(), 1)
        self._pool = BlockingConnectionPool.from_url(url, max_connections=REDIS_CONNECTIONS, timeout=None, retry=retry)
        self._redis = Client(connection_pool=self._pool)
        self._away_until = 0.0  # 0 while it answers

    def now(self) -> float:
        """Return the wall clock: no other is the same for all processes that count together."""
        return time.time()

    async def incr(self, key: str, expiry: int) -> int:
        """Count one more for ``key`` and return how many all processes have counted."""
        if time.monotonic() >= self._away_until and (count := await self._ask(key, expiry)) is not None:
            return count
        return await super().incr(key, expiry)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _ask(self, key: str, expiry: int) -> int | None:
        if self._away_until:
            self._away_until = time.monotonic() + REDIS_PAUSE
        try:
            async with asyncio.timeout(REDIS_TIMEOUT), self._redis.pipeline() as both:
                both.incr(key)
                both.expire(key, expiry)
                count: int = (await both.execute())[0]
        except Exception as error:  # noqa: BLE001 -- whatever it is, nobody is turned away for it
            if not self._away_until:
                log.warning("no Redis for the rate limits", error=type(error).__name__)
            self._away_until = time.monotonic() + REDIS_PAUSE
            return None
        if self._away_until:
            log.info("Redis is back for the rate limits")
            self._away_until = 0.0
        return count


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
    """The limits of the service: for each subject, and for each address from which requests without a token come."""

    def __init__(self, *, address: Rate, subject: Rate, storage: Memory) -> None:
        self._address = address
        self._subject = subject
        self._storage = storage

    async def count_address(self, address: str) -> Quota:
        """Count a request from ``address``."""
        return await self._count("address", self._address, network(address))

    async def count_subject(self, subject: str) -> Quota:
        """Count a request of ``subject``."""
        return await self._count("subject", self._subject, subject)

    async def close(self) -> None:
        """Let go of what the counts are kept in."""
        await self._storage.close()

    async def _count(self, name: str, limit: Rate, who: str) -> Quota:
        now = self._storage.now()
        number = int(now // limit.window)
        used = await self._storage.incr(f"verbatim/{name}/{limit.window}/{number}/{who}", limit.window)
        return Quota(name, limit.amount, used, limit.window, math.ceil((number + 1) * limit.window - now))


def rate_limit_headers(quotas: Sequence[Quota]) -> list[tuple[bytes, bytes]]:
    """Return what a client may know of its limits (draft-ietf-httpapi-ratelimit-headers-10)."""
    policy = ", ".join(f'"{quota.name}";q={quota.limit};w={quota.window}' for quota in quotas)
    state = ", ".join(f'"{quota.name}";r={max(0, quota.limit - quota.used)};t={quota.reset}' for quota in quotas)
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]


def network(address: str) -> str:
    """Return what one caller has of addresses: of IPv6, 2^64 (RFC 6177)."""
    address = address.partition("%")[0][:LONGEST_ADDRESS]
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:  # a trusted proxy may say what it likes
        return address
    return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False))
