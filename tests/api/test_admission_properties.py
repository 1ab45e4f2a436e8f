"""What holds of the requests that run and that wait, in whatever order they come and go."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.api import request_queue
from backend.api.request_queue import Caller, QueuedRequest, RequestQueue
from backend.errors import Busy

MAX_RUNNING = 6
LEAST_SHARE = 2

numbers = st.integers(0, 40)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.sampled_from([1, 2, 3]), st.sampled_from(["x", "y", "z"])),
        st.tuples(st.just("leave"), numbers),
        st.tuples(st.just("give_up"), numbers),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.1, 0.3, 3.0])),
    ),
    max_size=60,
)


class Watched(RequestQueue):
    """Notes which requests began to run."""

    def __init__(self, trial: "Trial") -> None:
        super().__init__(lambda: trial.now)
        self.begun: list[QueuedRequest] = []

    def _run(self, turn: QueuedRequest, now: float) -> None:
        assert self._may_run(turn.caller, self._share(now))
        self.begun.append(turn)
        super()._run(turn, now)


class Trial:
    """Requests that come and go."""

    def __init__(self) -> None:
        self.now = 100.0
        self.queue = Watched(self)
        self.arrived: list[QueuedRequest] = []
        self.gave_up: set[QueuedRequest] = set()

    def arrive(self, token: int, address: str) -> None:
        try:
            self.arrived.append(self.queue.arrive(Caller(token, address)))
        except Busy:
            assert self.queue._number >= MAX_RUNNING

    def leave(self, number: int) -> None:
        if number < len(self.arrived) and self.arrived[number] in self.queue.begun:
            self.queue.leave(self.arrived[number])

    def give_up(self, number: int) -> None:
        if number < len(self.arrived) and (ready := self.arrived[number].ready) and ready.cancel():
            self.gave_up.add(self.arrived[number])
            self.queue.leave(self.arrived[number])

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.queue._on_tick()

    def check(self) -> None:
        turns = self.queue
        assert len(turns._running) <= MAX_RUNNING
        assert turns._count == Counter(key for turn in turns._running for key in turn.caller)
        waiting = [queue for tokens in turns._waiting.values() for queue in tokens.values()]
        assert all(waiting)
        assert all(turns._waiting.values())
        assert turns._number == sum(map(len, waiting))


async def hold(steps: list[tuple[str, *tuple[object, ...]]]) -> None:
    trial = Trial()
    for name, *values in steps:
        getattr(trial, name)(*values)
        trial.check()
    turns = trial.queue
    for turn in turns.begun:  # which grows meanwhile
        turns.leave(turn)
        trial.check()
    assert (turns._running, turns._count, turns._waiting, turns._number) == ({}, {}, {}, 0)
    assert {*turns.begun} == {*trial.arrived} - trial.gave_up
    for caller in {turn.caller for turn in trial.arrived}:
        order = [turn for turn in turns.begun if turn.caller == caller]
        assert order == [turn for turn in trial.arrived if turn.caller == caller and turn not in trial.gave_up]


@given(steps)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_each_request_runs_in_its_turn_or_is_refused_and_nothing_is_left(
    steps: list[tuple[str, *tuple[object, ...]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_queue, "MAX_RUNNING", MAX_RUNNING)
        patch.setattr(request_queue, "LEAST_SHARE", LEAST_SHARE)
        asyncio.run(hold(steps))
