"""How long a client waits before it tries again: tested without a network, because the core does no I/O."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress

import httpx
import pytest

from tests.clients.python.unreliable import Answer, problem
from verbatim_record.core import Consistency, Core
from verbatim_record.errors import TransportError, UnexpectedResponse
from verbatim_record.operations import conversations, deliveries, service
from verbatim_record.retries import Retries

RETRIES = Retries(attempts=8, within=1e9, backoff=0.5, longest=4.0)
GOOD = Answer(200, b'{"failed": 0, "held": 0}')


class Script:
    """A transport that gives ``answers`` in turn, and notes each wait in place of waiting."""

    renewable = False

    def __init__(self, *answers: Answer) -> None:
        self.answers: Iterator[Answer] = iter(answers)
        self.waits: list[float] = []
        self.requests: list[httpx.Request] = []

    async def token(self) -> None:
        return None

    async def open(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self.answers, None)
        if answer is None:
            raise httpx.ConnectError("There is no service.")
        return httpx.Response(answer.status, headers=answer.headers, content=answer.body, request=request)

    async def read(self, response: httpx.Response) -> None:
        response.read()

    async def pieces(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        yield response.content

    async def close(self, response: httpx.Response) -> None:
        response.close()

    async def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


def core(script: Script, retries: Retries = RETRIES, consistency: Consistency = "strong") -> Core:
    return Core(httpx.URL("http://verbatim.example"), script, retries, 20.0, consistency)


async def test_the_longest_wait_doubles_up_to_its_bound() -> None:
    longest: list[float] = [0.0] * 7
    for _ in range(200):
        script = Script()
        with pytest.raises(TransportError):
            await core(script).send(deliveries.retry_all())
        longest = [max(pair) for pair in zip(longest, script.waits, strict=True)]
    for found, bound in zip(longest, [0.5, 1, 2, 4, 4, 4, 4], strict=True):
        assert 0.8 * bound < found <= bound


async def test_the_service_s_own_wait_comes_before_the_random_one() -> None:
    script = Script(problem(503, "busy", retry_after="7"), problem(429, retry_after="2"), GOOD)
    await core(script).send(deliveries.retry_all())
    first, second = script.waits
    assert 7 <= first <= 7.5
    assert 2 <= second <= 3


async def test_a_call_ends_before_a_wait_beyond_its_time() -> None:
    script = Script(problem(503, "busy", retry_after="7"), problem(503, "busy", retry_after="70"), GOOD)
    with pytest.raises(Exception, match="busy"):
        await core(script, Retries(within=60)).send(deliveries.retry_all())
    assert len(script.waits) == 1


async def test_a_stream_opens_again_no_sooner_than_it_asks_for() -> None:
    stream = {"content-type": "text/event-stream"}
    script = Script(
        Answer(200, b"retry: 1000\n", stream),
        Answer(200, b'retry: 1000\nevent: resume\ndata: {"reason": "abandoned"}\nretry: 10000\n\n', stream),
        Answer(204),
    )
    following = core(script).follow(conversations.follow("019ab5c0-1111-7000-8000-000000000001"))
    assert [item async for item in following] == []
    first, second = script.waits
    assert 1 <= first <= 1.5
    assert 10 <= second <= 10.5


WROTE_LAST, WROTE_FIRST = (Answer(200, GOOD.body, {"verbatim-position": f"{place:016x}"}) for place in (300, 20))
LATEST = {"verbatim-position": f"{300:016x}"}


@pytest.mark.parametrize(
    ("consistency", "before", "after"),
    [("strong", {}, {}), ("session", {}, LATEST), ("eventual", *[{"prefer": "consistency=eventual"}] * 2)],
)
async def test_a_read_names_the_latest_write_of_its_client_or_allows_a_replica_anything(
    consistency: Consistency, before: dict[str, str], after: dict[str, str]
) -> None:
    script = Script(GOOD, WROTE_LAST, WROTE_FIRST, problem(503, "busy"), GOOD)
    client = core(script, consistency=consistency)
    for call in (service.get(), deliveries.retry_all(), deliveries.retry_all(), service.get()):
        with suppress(UnexpectedResponse):  # the answers are of no read
            await client.send(call)
    first, *writes, refused, again = (
        {name: request.headers[name] for name in ("prefer", "verbatim-position") if name in request.headers}
        for request in script.requests
    )
    assert (first, writes, refused, again) == (before, [{}, {}], after, after)


async def test_after_a_write_without_a_position_a_read_names_none_until_the_next_write() -> None:
    script = Script(WROTE_LAST, GOOD, GOOD, WROTE_FIRST, GOOD)
    client = core(script, consistency="session")
    for call in (deliveries.retry_all(), deliveries.retry_all(), service.get(), deliveries.retry_all(), service.get()):
        with suppress(UnexpectedResponse):  # the answers are of no read
            await client.send(call)
    named = [request.headers.get("verbatim-position") for request in script.requests]
    assert named == [None, None, None, None, f"{20:016x}"]
