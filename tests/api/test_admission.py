"""Which requests run, which wait, and which are refused, with a clock of the test's own."""

import asyncio
import sys
import time
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api.admission import DISCONNECTED, _caller
from backend.api.middleware import RequestMiddleware
from backend.api.request_queue import (
    EARLY,
    LATE,
    LEAST_SHARE,
    MAX_RUNNING,
    MAX_SHARE,
    MAX_TURN,
    SHARES,
    TICK,
    Caller,
    QueuedRequest,
    RequestQueue,
)
from backend.errors import Busy
from backend.observability.access_log import AccessLog, AccessLogChoice
from tests.clock import Clock
from tests.gates import open_gate

ALL = SHARES * LEAST_SHARE  # places of all callers together


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def queue(clock: Clock) -> RequestQueue:
    return RequestQueue(clock)


def caller(name: str, address: str | None = None) -> Caller:
    return Caller(hash(name), address or f"address of {name}")


def layer(app: ASGIApp, queue: RequestQueue) -> RequestMiddleware:
    return RequestMiddleware(app, access_log=AccessLog(AccessLogChoice.NONE), queue=queue, gate=open_gate())


def runs(turn: QueuedRequest) -> bool:
    return turn.ready is None or turn.ready.done()


async def test_a_caller_alone_may_use_every_place(queue: RequestQueue) -> None:
    arrived = [queue.arrive(caller("pipeline")) for _ in range(MAX_RUNNING + 1)]
    assert [runs(turn) for turn in arrived] == [True] * MAX_RUNNING + [False]
    queue.leave(arrived[0])
    assert runs(arrived[-1])


@pytest.mark.parametrize("greedy", [("one token", None), (None, "one address")])
async def test_beside_another_a_caller_has_its_share_and_never_waits_for_the_greedy_one(
    queue: RequestQueue, greedy: tuple[str | None, str | None]
) -> None:
    queue.leave(queue.arrive(caller("quiet")))
    token, address = greedy
    crowd = [
        queue.arrive(caller(token or f"subject {number}", address or f"address {number}")) for number in range(500)
    ]
    assert sum(map(runs, crowd)) == LEAST_SHARE
    assert runs(queue.arrive(caller("quiet")))
    queue.leave(crowd[0])
    assert sum(map(runs, crowd)) == LEAST_SHARE + 1


async def test_callers_that_wait_take_turns(queue: RequestQueue) -> None:
    running = [queue.arrive(caller(f"subject {number}")) for number in range(ALL)]
    first = [queue.arrive(caller("first")) for _ in range(3)]
    second = queue.arrive(caller("second"))
    queue.leave(running[0])
    queue.leave(running[1])
    assert [runs(turn) for turn in (*first, second)] == [True, False, False, True]


async def test_what_would_wait_too_long_is_refused_and_what_waits_is_not(queue: RequestQueue, clock: Clock) -> None:
    running = [queue.arrive(caller(f"subject {number}")) for number in range(ALL)]
    waiting = [queue.arrive(caller(f"later {number}")) for number in range(200)]
    for _ in range(50):  # a thousand a second
        clock.now += 0.001
        queue.leave(next(iter(queue._running)))
    refused = 0
    for number in range(3_000):
        try:
            waiting.append(queue.arrive(caller(f"crowd {number}")))
        except Busy:
            refused += 1
    assert 500 <= refused <= 2_700
    for turn in [*running, *waiting]:
        queue.leave(turn)
    assert all(map(runs, waiting))


async def test_each_request_waits_a_round_of_all_addresses_for_every_one_of_its_caller_before_it(
    queue: RequestQueue,
) -> None:
    """Requests of others that arrive later have their turn sooner. So one that was let in waited 1.3 s."""
    for number in range(ALL + 249):
        queue.arrive(caller(f"subject {number}"))
    for _ in range(2):  # the first of them makes a round 250 addresses, which is 0.125 s
        queue.arrive(caller("busy"))
    with pytest.raises(Busy):
        queue.arrive(caller("busy"))


async def test_a_request_that_waits_for_something_gives_its_place_to_another(queue: RequestQueue, clock: Clock) -> None:
    """Hundreds of bodies that never end keep no place."""
    for number in range(ALL):
        queue.arrive(caller(f"slow {number}"))
    turn = queue.arrive(caller("quiet"))
    assert not runs(turn)
    clock.now += MAX_TURN
    assert runs(queue.arrive(caller("another")))
    queue._on_tick()
    assert runs(turn)


async def test_no_request_that_arrives_takes_a_place_that_another_waits_for(queue: RequestQueue, clock: Clock) -> None:
    """All requests took long, and each new caller used to run in the first place that was free again."""
    for number in range(ALL):
        queue.arrive(caller(f"slow {number}"))
    first = queue.arrive(caller("first"))
    clock.now += MAX_TURN
    for number in range(ALL):
        queue.arrive(caller(f"later {number}"))
    assert runs(first)


@pytest.mark.parametrize("slow", ["slow {}", "quiet"])
async def test_a_request_runs_at_once_when_those_that_run_have_had_their_time(
    queue: RequestQueue, clock: Clock, slow: str
) -> None:
    """It used to wait for the next look at them, up to a quarter of a second."""
    queue.leave(queue.arrive(caller("another")))
    for number in range(ALL if slow != "quiet" else LEAST_SHARE):
        queue.arrive(caller(slow.format(number)))
    clock.now += MAX_TURN
    assert runs(queue.arrive(caller("quiet")))


async def test_a_share_grows_while_the_event_loop_is_on_time_and_shrinks_when_it_is_late(
    queue: RequestQueue, clock: Clock
) -> None:
    """Requests that wait for a slow disk do not occupy the event loop, so more of them may wait for it at once."""
    queue.leave(queue.arrive(caller("quiet")))
    crowd = [queue.arrive(caller("busy")) for _ in range(2 * MAX_SHARE)]

    def look(late: float) -> int:
        clock.now = queue._due + late
        queue._senders.note(caller("quiet").token, clock.now)
        queue._senders.note(caller("busy").token, clock.now)
        queue._on_tick()
        return sum(map(runs, crowd))

    assert look((EARLY + LATE) / 2) == LEAST_SHARE
    assert look(EARLY / 2) == LEAST_SHARE + 1
    for _ in range(round(MAX_TURN / TICK) - 4):
        most = look(EARLY / 2)
    assert most > LEAST_SHARE + 3
    for turn in crowd[:most]:
        queue.leave(turn)
    for _ in range(10):
        look(2 * LATE)
    assert queue._share(clock.now) == LEAST_SHARE


async def test_a_request_whose_client_has_hung_up_while_it_waited_is_not_begun() -> None:
    begun = 0

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        nonlocal begun
        begun += 1

    queue = RequestQueue()
    running = [queue.arrive(caller(f"subject {number}")) for number in range(ALL)]
    scope: Any = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "headers": [],
        "client": None,
        "extensions": {DISCONNECTED: lambda: True},
    }
    waiting: Any = asyncio.create_task(layer(app, queue)(scope, None, None))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    queue.leave(running[0])
    await waiting
    assert not begun
    assert len(queue._running) == ALL - 1


async def test_one_that_gave_up_waiting_takes_no_place(queue: RequestQueue) -> None:
    running = [queue.arrive(caller(f"subject {number}")) for number in range(ALL)]
    gone, here = queue.arrive(caller("gone")), queue.arrive(caller("here"))
    assert gone.ready is not None
    gone.ready.cancel()
    queue.leave(gone)
    queue.leave(running[0])
    assert runs(here)


async def test_a_place_is_free_again_when_the_answer_begins_and_when_the_application_fails() -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/fails":
            raise RuntimeError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        begun.set()
        await over.wait()
        await Response()(scope, receive, send)

    async def nothing(*_: Any) -> Any:
        return {}

    queue = RequestQueue()
    scope = {"type": "http", "method": "GET", "path": "/streams", "headers": [], "client": ("127.0.0.1", 1)}
    task = asyncio.create_task(layer(app, queue)(scope, nothing, nothing))
    await begun.wait()
    assert not queue._running
    over.set()
    await task
    await layer(app, queue)(scope | {"path": "/fails"}, nothing, nothing)
    assert not queue._running
    assert not queue._count


async def test_of_a_token_is_kept_what_tells_it_apart_and_not_its_30_kilobytes() -> None:
    """Tokens are kept for two seconds, also those of requests that are refused: thousands a second."""
    scope = {"type": "http", "client": ("127.0.0.1", 1), "headers": [(b"authorization", b"x" * 30_000)]}
    one, same = _caller(scope), _caller(scope)
    other = _caller(scope | {"headers": [(b"authorization", b"y" + b"x" * 29_999)]})
    assert one == same
    assert one != other
    assert sum(map(sys.getsizeof, one)) < 200


def test_each_part_of_an_answer_costs_the_same_however_many_requests_of_its_caller_wait(clock: Clock) -> None:
    """A request that has waited for its turn used to be looked for among those that wait, with each part."""

    async def cost(waiting: int) -> float:
        queue = RequestQueue(clock)
        running = [queue.arrive(caller("pipeline")) for _ in range(MAX_RUNNING)]
        turn = queue.arrive(caller("pipeline"))
        for _ in range(waiting):
            queue.arrive(caller("pipeline"))
        queue.leave(running[0])
        assert runs(turn)
        queue.leave(turn)
        began = time.process_time()
        for _ in range(1_000):
            queue.leave(turn)
        return time.process_time() - began

    assert asyncio.run(cost(500)) < 10 * asyncio.run(cost(1))
