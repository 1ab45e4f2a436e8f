"""How often somebody may come, and what they are told of it."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from backend.api import rate_limits
from backend.api.rate_limits import Memory, Rate, Redis
from backend.app import create_app
from backend.errors import SettingsError
from backend.settings import Settings
from backend.vocabulary import Scope
from tests import callers
from tests.conftest import running, serving, settings_for
from tests.installed import program
from tests.ports import free_ports

CONVERSATIONS = "/api/v1/conversations"
MINH, LAN = callers.person("minh"), callers.person("lan")

Configured = Callable[..., FastAPI]


@pytest.fixture
def database_url(shared_database_url: str) -> str:
    return shared_database_url


class Clock:
    """The time that counts, which goes on when it is told to. ``off`` sets the wall clock alone."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.off = 0.0

    def time(self) -> float:
        return self.now + self.off

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_limits, "time", clock)
    return clock


@pytest.fixture
def guarded(database_url: str, tmp_path: Path) -> Configured:
    """Give a service that wants tokens, with more settings."""

    def configured(**settings: Any) -> FastAPI:
        return create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path), **settings))

    return configured


def told(answer: httpx.Response) -> dict[str, dict[str, int]]:
    """Each limit's parameters by name, from both headers (draft-ietf-httpapi-ratelimit-headers-10)."""
    found: dict[str, dict[str, int]] = {}
    for header, keys in (("ratelimit-policy", ["q", "w"]), ("ratelimit", ["r", "t"])):
        for item in answer.headers[header].split(", "):
            parsed = re.fullmatch(r'"(\w+)"((?:;\w+=\d+)+)', item)
            assert parsed, item
            parameters = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", parsed[2])}
            assert [*parameters] == keys
            found.setdefault(parsed[1], {}).update(parameters)
    return found


@asynccontextmanager
async def addressed(app: FastAPI) -> AsyncIterator[Callable[[str], Any]]:
    """Give a function that sends a request without a token from an address."""
    async with running(app) as client:
        served = client._transport
        assert isinstance(served, httpx.ASGITransport)

        async def ask(address: str) -> httpx.Response:
            transport = httpx.ASGITransport(served.app, client=(address, 50000))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as somebody:
                return await somebody.get("/docs")

        yield ask


async def test_every_answer_says_what_is_left_and_one_too_many_is_told_when_to_come_again(
    guarded: Configured, clock: Clock
) -> None:
    clock.now += 13.25
    async with running(guarded(rate_limit_subject="3/minute", rate_limit_address="100/hour")) as client:
        for left in (2, 1, 0):
            answer = await client.get(CONVERSATIONS, headers=MINH)
            assert answer.status_code == 200
            assert told(answer) == {"subject": {"q": 3, "w": 60, "r": left, "t": 47}}
            stranger = await client.get(CONVERSATIONS)
            assert stranger.status_code == 401
            assert told(stranger) == {"address": {"q": 100, "w": 3600, "r": 97 + left, "t": 3587}}
        for _ in range(2):
            refused = await client.get(CONVERSATIONS, headers=MINH)
            assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["retry-after"] == "47"
            assert told(refused)["subject"] == {"q": 3, "w": 60, "r": 0, "t": 47}
            assert "subject" in refused.json()["detail"]


async def test_whoever_comes_again_when_told_is_let_in(guarded: Configured, clock: Clock) -> None:
    async with running(guarded(rate_limit_subject="1/minute")) as client:
        for passed in (0.0, 0.5, 59.0):
            assert (await client.get(CONVERSATIONS, headers=MINH)).status_code == 200
            clock.now += passed
            refused = await client.get(CONVERSATIONS, headers=MINH)
            assert refused.status_code == 429
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            clock.now += int(refused.headers["retry-after"])


@pytest.mark.parametrize("seconds", [-86_400, -60, 60, 86_400])
async def test_setting_the_clock_gives_no_caller_more_requests(
    guarded: Configured, clock: Clock, seconds: float
) -> None:
    async with running(guarded(rate_limit_subject="1/minute")) as client:
        assert (await client.get(CONVERSATIONS, headers=MINH)).status_code == 200
        clock.off = seconds
        refused = await client.get(CONVERSATIONS, headers=MINH)
        assert refused.status_code == 429
        clock.now += int(refused.headers["retry-after"])
        assert (await client.get(CONVERSATIONS, headers=MINH)).status_code == 200


async def test_nobody_pays_for_somebody_else(guarded: Configured, clock: Clock) -> None:
    clock.now += 1
    async with running(guarded(rate_limit_subject="1/minute")) as client:
        assert [(await client.get(CONVERSATIONS, headers=who)).status_code for who in (MINH, MINH, LAN)] == [
            200,
            429,
            200,
        ]


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("203.0.113.1", "203.0.113.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("2001:DB8:0:1::1", "2001:db8:0:1:0::1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:203.0.113.1", "203.0.113.1", True),
        ("::ffff:cb00:7101", "203.0.113.1", True),
        ("::ffff:203.0.113.1", "::ffff:203.0.113.2", False),
        ("a:b", "a:b", True),
        ("a:b", "a:c", False),
        ("x" * 10_000, "x" * 20_000, True),
    ],
)
async def test_one_caller_has_one_count_whatever_their_address_looks_like(
    guarded: Configured, clock: Clock, first: str, second: str, together: bool
) -> None:
    clock.now += 1
    async with addressed(guarded(rate_limit_address="1/minute")) as ask:
        assert (await ask(first)).status_code == 200
        assert (await ask(second)).status_code == (429 if together else 200)


async def test_a_service_has_a_count_of_its_own_however_many_tokens_it_has(
    guarded: Configured, database: Any, clock: Clock
) -> None:
    clock.now += 1
    tokens = [await callers.service(database, "pipeline", Scope.CONVERSATIONS_READ) for _ in range(2)]
    async with running(guarded(rate_limit_subject="1/minute")) as client:
        assert [(await client.get(CONVERSATIONS, headers=token)).status_code for token in tokens] == [200, 429]


async def test_in_memory_the_quietest_are_forgotten_first_and_all_when_their_window_ends(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "MAX_COUNTERS", 3)
    memory = Memory()
    for caller in ("quiet", "busy", "other", "busy"):
        await memory.incr(caller, 60)
    for number in range(10):
        assert await memory.incr(f"stranger {number}", 60) == 1
        assert await memory.incr("busy", 60) == 3 + number
    assert await memory.incr("quiet", 60) == 1
    assert await memory.incr("elsewhere", 3600) == 1

    def counted() -> int:
        return sum(len(counts) for _, counts in memory._windows.values())

    assert counted() == 4
    clock.now += 60
    assert await memory.incr("busy", 60) == 1
    assert counted() == 2


async def test_forgetting_costs_no_more_the_more_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking the oldest out of a plain dictionary looks through all places that became free before it."""
    memory, loop = Memory(), asyncio.get_running_loop()

    async def seconds(begin: int) -> float:
        started = loop.time()
        for number in range(begin, begin + 20_000):
            await memory.incr(str(number), 10**9)
        return loop.time() - started

    growing = await seconds(0)
    monkeypatch.setattr(rate_limits, "MAX_COUNTERS", 20_000)
    assert await seconds(20_000) < 10 * growing


class Server:
    """A Redis on this machine, with nothing on disk."""

    def __init__(self, folder: Path) -> None:
        [self.port] = free_ports(1)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder

    @contextmanager
    def up(self) -> Iterator[subprocess.Popen[str]]:
        options = {"--port": self.port, "--bind": "127.0.0.1", "--dir": self._folder, "--save": ""}
        command = ["redis-server", *(str(word) for option in options.items() for word in option)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout
                assert any("Ready to accept connections" in line for line in process.stdout)
                yield process
            finally:
                process.kill()


@pytest.fixture
def redis(tmp_path: Path) -> Server:
    program("redis-server", "redis-server")
    return Server(tmp_path)


@asynccontextmanager
async def deaf(server: Server) -> AsyncIterator[list[int]]:
    """Stand in the server's place: take every connection, count it, and never say a word."""
    taken: list[int] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(server.port)
        while await reader.read(4096):
            pass
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", server.port)
    async with listener:
        yield taken


async def test_workers_with_a_redis_share_one_count(guarded: Configured, redis: Server, clock: Clock) -> None:
    clock.now += 1
    settings = {"rate_limit_subject": "4/minute", "rate_limit_redis_url": redis.url}
    with redis.up():
        async with running(guarded(**settings)) as one, running(guarded(**settings)) as other:
            for left in (3, 1):
                for number, worker in enumerate((one, other)):
                    answer = await worker.get(CONVERSATIONS, headers=MINH)
                    assert (answer.status_code, told(answer)["subject"]["r"]) == (200, left - number)
            for worker in (one, other):
                assert (await worker.get(CONVERSATIONS, headers=MINH)).status_code == 429
                assert (await worker.get(CONVERSATIONS, headers=LAN)).status_code == 200
            clock.now += 60
            assert told(await one.get(CONVERSATIONS, headers=MINH))["subject"]["r"] == 3


def test_processes_with_a_redis_share_one_count(database_url: str, redis: Server) -> None:
    settings = {"VERBATIM_RATE_LIMIT_ADDRESS": "20/year", "VERBATIM_RATE_LIMIT_REDIS_URL": redis.url}
    settings |= {"VERBATIM_AUTH_ISSUERS": "[]"}
    with redis.up(), serving(database_url, "--workers", "2", **settings) as address:
        # A connection each, so that both workers get some.
        statuses = [httpx.get(f"{address}/readyz", timeout=60).status_code for _ in range(30)]
    assert statuses == [200] * 20 + [429] * 10


async def test_of_many_at_the_same_time_each_is_counted_in_redis(
    redis: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rate_limits, "REDIS_TIMEOUT", 20.0)  # a slow machine is no fault of Redis's
    with redis.up():
        storage = Redis(redis.url)
        counts = await asyncio.gather(*(storage.incr("all", 60) for _ in range(250)))
        await storage.close()
    assert sorted(counts) == [*range(1, 251)]
    assert "no Redis" not in capfd.readouterr().out


async def test_without_its_redis_the_service_counts_alone_and_asks_only_now_and_then(
    guarded: Configured, redis: Server, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    clock.now += 1
    app = guarded(rate_limit_subject="100/hour", rate_limit_redis_url=redis.url)
    async with running(app) as client:

        async def left() -> int:
            answer = await client.get(CONVERSATIONS, headers=MINH)
            assert answer.status_code == 200
            return told(answer)["subject"]["r"]

        with redis.up():
            assert [await left() for _ in range(3)] == [99, 98, 97]
        async with deaf(redis) as asked, asyncio.timeout(20):
            # The first one asks, in vain; what comes after is counted here.
            assert [await left() for _ in range(5)] == [99, 98, 97, 96, 95]
            assert len(asked) == 1
            clock.now += rate_limits.REDIS_PAUSE
            # One asks whether it is back; the others do not wait for that.
            assert {*await asyncio.gather(*(left() for _ in range(10)))} == {*range(85, 95)}
            assert len(asked) == 2
        assert capfd.readouterr().out.count("no Redis for the rate limits") == 1
        with redis.up():
            assert await left() == 84
            clock.now += rate_limits.REDIS_PAUSE
            assert [await left() for _ in range(2)] == [99, 98]
        assert "Redis is back" in capfd.readouterr().out


async def test_a_redis_that_was_started_anew_is_asked_again_at_once(redis: Server) -> None:
    with redis.up():
        storage = Redis(redis.url)
        await asyncio.gather(*(storage.incr("before", 60) for _ in range(10)))  # each over a connection of its own
    with redis.up():
        for number in range(1, 21):
            assert await storage.incr("after", 60) == number
    await storage.close()
    assert not storage._windows


async def test_requests_under_way_when_redis_is_killed_are_answered(
    guarded: Configured, redis: Server, clock: Clock
) -> None:
    clock.now += 1
    app = guarded(rate_limit_redis_url=redis.url)
    async with running(app) as client:
        with redis.up() as process:
            asking = [asyncio.create_task(client.get(CONVERSATIONS, headers=MINH)) for _ in range(20)]
            done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
            assert done
            process.kill()
            assert {(await each).status_code for each in asking} == {200}


async def test_a_service_starts_and_serves_without_the_redis_that_it_should_have(
    guarded: Configured, redis: Server, clock: Clock
) -> None:
    clock.now += 1
    for url in (redis.url, redis.url.replace("redis:", "rediss:")):
        async with running(guarded(rate_limit_subject="1/minute", rate_limit_redis_url=url)) as client:
            statuses = [(await client.get(CONVERSATIONS, headers=MINH)).status_code for _ in range(2)]
            assert statuses == [200, 429]


async def test_what_is_no_redis_is_as_good_as_none(guarded: Configured, redis: Server, clock: Clock) -> None:
    clock.now += 1

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b":nonsense\r\n*-7\r\nHTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with (
        await asyncio.start_server(stranger, "127.0.0.1", redis.port),
        running(guarded(rate_limit_subject="1/minute", rate_limit_redis_url=redis.url)) as client,
    ):
        assert [(await client.get(CONVERSATIONS, headers=MINH)).status_code for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("text", ["600", "600/", "/minute", "0/minute", "-1/minute", "600/fortnight", "1.5/hour"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="as 600/minute"):
        Rate.parse(text)


def test_a_redis_without_the_extra_for_it_is_a_sentence_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    monkeypatch.setenv("VERBATIM_RATE_LIMIT_REDIS_URL", "redis://127.0.0.1/0")
    with pytest.raises(SettingsError, match=r"VERBATIM_RATE_LIMIT_REDIS_URL: .*'verbatim-server\[redis\]'"):
        Settings.from_environment()
