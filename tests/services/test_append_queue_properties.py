"""What holds of the queue of messages to append, in whatever order it is used."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.dao_service.append_dao import NewMessage
from backend.errors import Busy, DatabaseUnavailable
from backend.observability import metrics
from backend.services import append_queue
from backend.services.append_queue import AppendQueue, Commit
from backend.services.append_transaction import Outcome, Recorded

RECORDED = cast("Recorded", "recorded")
MAX_PER_COMMIT = 20
TURN_COST = 15.0
MOST_OF_ONE = TURN_COST + 10  # a subject's last message may exceed its share by its own cost and its request's

conversations = st.sampled_from(range(4))
# What becomes of the messages of a conversation in a commit; what is not named is recorded.
fates = st.dictionaries(conversations, st.sampled_from(["locked", "busy", "unknown"]), max_size=3)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc"), st.lists(conversations, min_size=1, max_size=40)),
        st.tuples(st.just("commit"), fates),
        st.tuples(st.just("fail"), st.sampled_from([DatabaseUnavailable(), RuntimeError()])),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 0.01, 0.1, 0.6, 3.0])),
    ),
    max_size=40,
)


@dataclass
class Trial:
    """A queue, what was sent, and what went on record."""

    now: float = 100.0
    queue: AppendQueue = field(init=False)
    places: dict[UUID, UUID] = field(default_factory=dict)  # conversations by message
    sent: list[tuple[str, Sequence[NewMessage], "asyncio.Future[list[Outcome]]"]] = field(default_factory=list)
    recorded: list[NewMessage] = field(default_factory=list)
    known: list[UUID] = field(default_factory=lambda: [uuid4() for _ in range(4)])

    def __post_init__(self) -> None:
        self.queue = AppendQueue(lambda: self.now)

    def add(self, subject: str, numbers: list[int]) -> None:
        messages = [
            NewMessage(uuid4(), self.known[number], "user", "Hello.", "voice", "{}", None, None, None, None)
            for number in numbers
        ]
        try:
            self.sent.append((subject, messages, self.queue.add(subject, messages)))
        except Busy:
            assert len(self.queue), "a request was refused although none waits"

    def take(self) -> Commit:
        several = len(self.queue._queues) > 1
        commit = self.queue.take()
        assert commit.count <= MAX_PER_COMMIT
        costs = Counter[str | None]()
        for each in commit.slices:
            costs[each.request.subject] += each.request.cost(each.start, each.stop)  # type: ignore[assignment]
        assert not several or max(costs.values(), default=0) <= MOST_OF_ONE
        return commit

    def commit(self, fates: dict[int, str]) -> None:
        commit = self.take()
        if not commit.slices:
            return
        outcomes: list[Outcome | None] = []
        for message in commit.messages:
            match fates.get(self.known.index(message.conversation_id)):
                case "locked":
                    outcomes.append(None)
                case "busy":
                    outcomes.append(Busy(""))
                case "unknown":
                    outcomes.append(DatabaseUnavailable())
                case _:
                    outcomes.append(RECORDED)
                    self.recorded.append(message)
        self.queue.settle(commit, outcomes)

    def fail(self, error: Exception) -> None:
        if (commit := self.take()).slices:
            self.queue.fail(commit, error)

    def cancel(self, number: int) -> None:
        if number < len(self.sent):
            self.sent[number][2].cancel()

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def finish(self) -> None:
        while len(self.queue):
            self.commit({})
            self.wait(0.2)
        self.take()
        self.take()  # forgets the conversations of which the first found no request any more


async def hold(steps: list[tuple[str, *tuple[object, ...]]]) -> None:
    waiting = metrics.APPEND_QUEUE._value.get()
    trial = Trial()
    for name, *values in steps:
        getattr(trial, name)(*values)
    trial.finish()

    queue = trial.queue
    assert (queue._bytes, queue._bytes_of, queue._queues, [*queue._turns], queue._locked) == (0, {}, {}, [], {})
    assert abs(queue._cost) < 1e-6
    assert metrics.APPEND_QUEUE._value.get() == waiting
    assert not queue.arrived.is_set()
    recorded = {message.id: place for place, message in enumerate(trial.recorded)}
    assert len(recorded) == len(trial.recorded)
    last: dict[tuple[str, UUID], int] = {}
    for subject, messages, answer in trial.sent:
        assert answer.done()
        failed = Exception() if answer.cancelled() else answer.exception()
        outcomes = [failed] * len(messages) if failed else answer.result()
        repeat = set()  # conversations of which a message has to be sent again
        for message, outcome in zip(messages, outcomes, strict=True):
            conversation = message.conversation_id
            if outcome is RECORDED or isinstance(outcome, Busy):
                assert (message.id in recorded) == (outcome is RECORDED)
            if message.id in recorded:
                assert conversation not in repeat
                assert last.get((subject, conversation), -1) < recorded[message.id]
                last[subject, conversation] = recorded[message.id]
            else:
                repeat.add(conversation)


@given(steps)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_each_request_is_answered_with_the_truth_in_its_order_and_nothing_is_left(
    steps: list[tuple[str, *tuple[object, ...]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append_queue, "MAX_PER_COMMIT", MAX_PER_COMMIT)
        patch.setattr(append_queue, "TURN_COST", TURN_COST)
        patch.setattr(append_queue, "_UNMEASURED", 1_000.0)
        asyncio.run(hold(steps))
