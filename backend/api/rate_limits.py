"""Rate limits: requests of each caller in fixed windows, counted in this worker or, for all workers together, in Redis.

A client must be able to record messages although Redis fails. So while Redis does not answer, each worker counts the
requests that it serves itself.
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

MAX_COUNTERS: Final = 100_000  # in one window of one worker; of more, those longest without a request are dropped
MAX_ADDRESS: Final = 45  # characters, of an IPv4 address mapped into IPv6
REDIS_TIMEOUT: Final = 0.25  # seconds for one request
REDIS_PAUSE: Final = 5.0  # seconds between two attempts to reach a Redis that does not answer
REDIS_CONNECTIONS: Final = 16  # of one worker
_WINDOWS: Final = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "year": 31_536_000}  # seconds

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``amount`` requests in each window of ``window`` seconds."""

    amount: int
    window: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the rate that ``text`` names, such as 600/minute; raises ValueError for another form."""
        amount, _, unit = text.partition("/")
        if not amount.isdecimal() or int(amount) < 1 or unit not in _WINDOWS:
            raise ValueError("must be a number of requests in a second, minute, hour, day or year, such as 600/minute")
        return cls(int(amount), _WINDOWS[unit])


class Memory:
    """Counters in this worker's memory. Windows begin and end at multiples of their length, in seconds of `now`."""

    def __init__(self) -> None:
        self._windows: dict[int, tuple[float, OrderedDict[str, int]]] = {}

    def now(self) -> float:
        """Return the monotonic clock, which an operator cannot set back."""
        return time.monotonic()

    async def incr(self, key: str, expiry: int, cost: int = 1) -> int:
        """Add ``cost`` to the counter ``key``, which is dropped after ``expiry`` seconds, and return its value."""
        now = self.now()
        ends, counts = self._windows.get(expiry, (0.0, OrderedDict[str, int]()))
        if ends <= now:
            ends, counts = (now // expiry + 1) * expiry, OrderedDict[str, int]()
            self._windows[expiry] = ends, counts
        counts[key] = counts.get(key, 0) + cost
        counts.move_to_end(key)
        if len(counts) > MAX_COUNTERS:
            counts.popitem(last=False)  # the caller that has sent no request for longest
        return counts[key]

    async def close(self) -> None:
        """Do nothing, because there are no connections."""


class Redis(Memory):
    """Counters in Redis, and in this worker's memory while Redis does not answer.

    Then one request in `REDIS_PAUSE` seconds tries Redis again, and the others do not wait for it.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        # The extra `redis`: slow imports, needed only by services with a Redis.
        from redis.asyncio import BlockingConnectionPool  # noqa: PLC0415
        from redis.asyncio import Redis as Client  # noqa: PLC0415
        from redis.asyncio.retry import Retry  # noqa: PLC0415
        from redis.backoff import NoBackoff  # noqa: PLC0415

        # One retry, because Redis may have closed an idle connection of the pool.
        retry = Retry(NoBackoff(), 1)
        self._pool = BlockingConnectionPool.from_url(url, max_connections=REDIS_CONNECTIONS, timeout=None, retry=retry)
        self._redis = Client(connection_pool=self._pool)
        self._unavailable_until = 0.0  # 0 while it answers

    def now(self) -> float:
        """Return the wall clock, the only one that is the same for all workers that count together."""
        return time.time()

    async def incr(self, key: str, expiry: int, cost: int = 1) -> int:
        """Add ``cost`` to the counter ``key`` and return its value, from memory if Redis does not answer."""
        if time.monotonic() >= self._unavailable_until and (count := await self._ask(key, expiry, cost)) is not None:
            return count
        return await super().incr(key, expiry, cost)

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def _ask(self, key: str, expiry: int, cost: int) -> int | None:
        if self._unavailable_until:
            self._unavailable_until = time.monotonic() + REDIS_PAUSE
        try:
            async with asyncio.timeout(REDIS_TIMEOUT), self._redis.pipeline() as both:
                both.incrby(key, cost)
                both.expire(key, expiry)
                count: int = (await both.execute())[0]
        except Exception as error:  # noqa: BLE001 -- no request is refused because Redis fails
            if not self._unavailable_until:
                log.warning("no Redis for the rate limits", error=type(error).__name__)
            self._unavailable_until = time.monotonic() + REDIS_PAUSE
            return None
        if self._unavailable_until:
            log.info("Redis is back for the rate limits")
            self._unavailable_until = 0.0
        return count


@dataclass(frozen=True, slots=True)
class Quota:
    """The state of one limit: ``used`` of ``limit`` requests; ``reset`` of ``window`` seconds are left."""

    name: str
    limit: int
    used: int
    window: int
    reset: int

    @property
    def exceeded(self) -> bool:
        """Whether more than ``limit`` requests were sent; the limit is inclusive."""
        return self.used > self.limit


class RateLimits:
    """The rate limits: for each subject, and for each address that sends requests without valid tokens."""

    def __init__(self, *, address: Rate, subject: Rate, storage: Memory) -> None:
        self._address = address
        self._subject = subject
        self._storage = storage

    async def count_address(self, address: str, cost: int = 1) -> Quota:
        """Count ``cost`` requests from ``address`` and return its quota; of IPv6, one /64 is one address."""
        return await self._count("address", self._address, network(address), cost)

    async def count_subject(self, subject: str, cost: int = 1) -> Quota:
        """Count ``cost`` requests of ``subject`` and return its quota."""
        return await self._count("subject", self._subject, subject, cost)

    async def close(self) -> None:
        """Close the storage of the counters."""
        await self._storage.close()

    async def _count(self, name: str, limit: Rate, who: str, cost: int) -> Quota:
        now = self._storage.now()
        number = int(now // limit.window)
        used = await self._storage.incr(f"verbatim/{name}/{limit.window}/{number}/{who}", limit.window, cost)
        return Quota(name, limit.amount, used, limit.window, math.ceil((number + 1) * limit.window - now))


def rate_limit_headers(quotas: Sequence[Quota]) -> list[tuple[bytes, bytes]]:
    """Return the headers that state a client's limits (draft-ietf-httpapi-ratelimit-headers-10)."""
    policy = ", ".join(f'"{quota.name}";q={quota.limit};w={quota.window}' for quota in quotas)
    state = ", ".join(f'"{quota.name}";r={max(0, quota.limit - quota.used)};t={quota.reset}' for quota in quotas)
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", state.encode())]


def network(address: str) -> str:
    """Return the name under which ``address`` is counted: for IPv6 its /64, which one client may own (RFC 6177)."""
    address = address.partition("%")[0][:MAX_ADDRESS]
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except ValueError:  # a trusted proxy may send any text as an address
        return address
    return str(parsed.ipv4_mapped or IPv6Network((parsed, 64), strict=False))
