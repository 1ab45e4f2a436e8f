"""The queue of what waits to be appended, with a clock of the test's own."""

import contextlib
from collections.abc import Sequence
from typing import cast
from uuid import UUID, uuid4

import pytest

from backend.dao_service.append_dao import NewMessage
from backend.errors import Busy
from backend.services import append_queue
from backend.services.append_queue import FIRST_RETRY_DELAY, LOCK_TIMEOUT, MAX_PER_COMMIT, AppendQueue, Commit
from backend.services.append_transaction import Recorded
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def queue(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AppendQueue:
    """Before the first commit it takes the database for a fast one."""
    monkeypatch.setattr(append_queue, "_UNMEASURED", 100_000)
    return AppendQueue(clock)


def said(count: int, content: str = "Hello.", metadata: str = "{}") -> list[NewMessage]:
    return [
        NewMessage(uuid4(), uuid4(), "user", content, "voice", metadata, None, None, None, None) for _ in range(count)
    ]


def settle(queue: AppendQueue, commit: Commit, outcome: Recorded | None = cast("Recorded", "recorded")) -> None:  # noqa: B008
    queue.settle(commit, [outcome] * commit.count)


def added(queue: AppendQueue, subject: str, times: int, messages: list[NewMessage]) -> int:
    """Return how many of so many requests were taken."""
    taken = 0
    with contextlib.suppress(Busy):
        for number in range(times):
            queue.add(subject, messages)
            taken = number + 1
    return taken


def shares(commit: Commit) -> dict[str | None, int]:
    counts: dict[str | None, int] = {}
    for each in commit.slices:
        counts[each.request.subject] = counts.get(each.request.subject, 0) + each.stop - each.start
    return counts


async def test_one_subject_alone_fills_a_commit(queue: AppendQueue) -> None:
    queue.add("greedy", said(500))
    queue.add("greedy", said(500))
    queue.add("greedy", said(500))
    assert shares(queue.take()) == {"greedy": 1_000}


async def test_beside_another_a_subject_gets_its_share_and_no_more(queue: AppendQueue) -> None:
    big = queue.add("greedy", said(500))
    for _ in range(100):
        queue.add("crowd", said(1))
    single = queue.add("quiet", said(1))
    commit = queue.take()
    taken = shares(commit)
    assert taken["quiet"] == 1
    assert taken["greedy"] < 100
    assert taken["crowd"] < 20
    settle(queue, commit)
    assert single.done()
    assert not big.done()


async def test_a_request_that_is_cut_is_answered_with_its_last_message_and_in_its_order(queue: AppendQueue) -> None:
    messages = said(300)
    answer = queue.add("greedy", messages)
    queue.add("quiet", said(1))
    committed: list[NewMessage] = []
    while not answer.done():
        commit = queue.take()
        own = [message for message in commit.messages if message in messages]
        committed += own
        queue.settle(commit, cast("Sequence[Recorded]", commit.messages))
    assert committed == messages
    assert answer.result() == cast("list[Recorded]", messages)


async def test_whoever_begins_a_commit_was_not_the_first_of_the_last_one(queue: AppendQueue) -> None:
    """More subjects wait than a commit holds: each gets its turn before the first gets another."""
    for number in range(2_500):
        queue.add(f"subject {number}", said(1))
    for number in range(100):
        queue.add(f"subject {number}", said(1))
    seen: list[str | None] = []
    for _ in range(3):
        commit = queue.take()
        seen += [each.request.subject for each in commit.slices]
        settle(queue, commit)
    assert len(set(seen)) == 2_500


async def test_a_subject_that_was_quiet_for_two_seconds_leaves_whole_commits_to_the_other(
    queue: AppendQueue, clock: Clock
) -> None:
    queue.add("quiet", said(1))
    settle(queue, queue.take())
    taken = []
    for _ in range(4):
        queue.add("greedy", said(500))
        commit = queue.take()
        taken.append(commit.count)
        queue.fail(commit, Busy("The database is away"))
        clock.now += 1
    assert taken[0] < 100
    assert taken[-1] == 500


async def test_a_commit_is_bounded_in_bytes(queue: AppendQueue) -> None:
    for _ in range(3):
        queue.add("one", said(40, "x" * 60_000))
    commit = queue.take()
    assert commit.count == 80  # the second request is not cut, the third waits
    settle(queue, commit)
    assert queue.take().count == 40


@pytest.mark.parametrize(
    ("content", "metadata"), [("\N{GRINNING FACE}" * 25_000, "{}"), ("x", '{"a": "' + "x" * 99_000 + '"}')]
)
async def test_bytes_are_counted_as_they_lie_in_memory(queue: AppendQueue, content: str, metadata: str) -> None:
    """An emoji makes Python keep four bytes for each character, and metadata weighs as much as content."""
    for _ in range(160):
        queue.add("greedy", said(1, content, metadata))
    assert added(queue, "greedy", 10, said(1, content, metadata)) < 10
    queue.add("another", said(1, content, metadata))


async def test_bytes_count_until_the_answer_and_not_only_until_the_commit(
    queue: AppendQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_queue, "MAX_BYTES", 2_000)
    queue.add("one", said(1))
    commit = queue.take()
    with pytest.raises(Busy):
        queue.add("two", said(1))
    settle(queue, commit)
    queue.add("two", said(1))


async def test_a_request_is_never_too_large_by_itself(queue: AppendQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_queue, "MAX_BYTES_PER_SUBJECT", 1_000)
    queue.add("one", said(50))
    with pytest.raises(Busy):
        queue.add("one", said(1))
    settle(queue, queue.take())
    queue.add("one", said(50))


async def test_what_could_not_be_committed_in_time_is_refused_at_once(queue: AppendQueue, clock: Clock) -> None:
    for _ in range(20):  # a database that commits a thousand a second
        queue.add("greedy", said(500))
        commit = queue.take()
        clock.now += 0.5
        settle(queue, commit)
    assert 1 <= added(queue, "greedy", 10, said(500)) <= 4
    queue.add("quiet", said(1))  # its turn comes at once
    while (commit := queue.take()).slices:
        settle(queue, commit)
    queue.add("greedy", said(500))


async def test_while_a_commit_hangs_requests_are_refused_at_once(queue: AppendQueue, clock: Clock) -> None:
    queue.add("one", said(1))
    commit = queue.take()
    clock.now += 1
    queue.add("one", said(1))
    clock.now += 1
    with pytest.raises(Busy):
        queue.add("one", said(1))
    settle(queue, commit)
    queue.add("one", said(1))


async def test_of_a_request_that_failed_nothing_more_is_committed(queue: AppendQueue) -> None:
    answer = queue.add("greedy", said(500))
    quiet = queue.add("quiet", said(1))
    first = queue.take()
    settle(queue, first)
    assert quiet.done()
    queue.fail(queue.take(), Busy("The database is away"))
    outcomes = answer.result()
    assert outcomes.count(cast("Recorded", "recorded")) == first.count - 1
    assert all(isinstance(outcome, Busy) for outcome in outcomes[first.count - 1 :])
    assert not queue.take().slices
    assert len(queue) == 0


async def test_a_look_that_finds_nothing_to_commit_does_not_count_as_a_commit_that_hangs(
    queue: AppendQueue, clock: Clock
) -> None:
    """It is never settled, so every request after it would be refused as waiting too long."""
    queue.add("one", said(1))
    settle(queue, queue.take())
    assert not queue.take().slices
    clock.now += 10
    queue.add("one", said(1))


async def test_while_a_commit_hangs_requests_are_refused_however_much_waits(queue: AppendQueue, clock: Clock) -> None:
    queue.add("one", said(1))
    queue.take()
    assert added(queue, "one", 4, said(500)) == 4
    clock.now += 2
    with pytest.raises(Busy):
        queue.add("one", said(1))


def told(count: int, conversation: UUID) -> list[NewMessage]:
    return [message._replace(conversation_id=conversation) for message in said(count)]


async def set_aside(queue: AppendQueue, clock: Clock, subject: str, messages: list[NewMessage]) -> None:
    """Add requests of 500 messages each, and tell the queue that their conversation is locked for now."""
    for start in range(0, len(messages), 500):
        queue.add(subject, messages[start : start + 500])
    commit = queue.take()
    settle(queue, commit, None)
    while queue.take().slices:
        raise AssertionError
    clock.now += FIRST_RETRY_DELAY


async def test_the_messages_of_a_conversation_that_was_locked_do_not_exceed_a_commit_and_keep_their_order(
    queue: AppendQueue, clock: Clock
) -> None:
    """All of them used to come in one commit, and other callers waited for it."""
    messages = told(3_000, uuid4())
    await set_aside(queue, clock, "greedy", messages)
    committed: list[NewMessage] = []
    commits = 0
    while queue.arrived.is_set() or not commits:
        commit = queue.take()
        assert commit.count <= MAX_PER_COMMIT
        committed += commit.messages
        commits += 1
        if commits == 2:  # and once more it is locked
            del committed[-commit.count :]
            settle(queue, commit, None)
            clock.now += 1
        else:
            settle(queue, commit)
    assert committed == messages[: len(committed)]
    assert len(queue) == 0


async def test_a_subject_whose_conversation_was_locked_gets_no_more_than_its_share(
    queue: AppendQueue, clock: Clock
) -> None:
    await set_aside(queue, clock, "greedy", told(500, uuid4()))
    queue.add("greedy", said(500))
    queue.add("quiet", said(1))
    taken = shares(queue.take())
    assert taken["quiet"] == 1
    assert taken["greedy"] <= append_queue.TURN_COST
    assert queue.arrived.is_set()


@pytest.mark.parametrize("refusal", ["busy", "locked"])
async def test_no_message_of_a_request_that_is_cut_overtakes_one_that_must_be_sent_again(
    queue: AppendQueue, clock: Clock, refusal: str
) -> None:
    """The rest of a conversation that was refused is refused, too; other conversations go on record."""
    conversation = uuid4()
    messages = [*told(150, conversation), *said(1), *told(150, conversation), *said(1)]
    queue.add("quiet", said(1))
    answer = queue.add("greedy", messages)
    refusals: list[Busy | None] = [Busy("")] if refusal == "busy" else [None, None]
    while len(queue):
        commit = queue.take()
        outcome = refusals.pop(0) if refusals else cast("Recorded", "recorded")
        queue.settle(
            commit,
            [
                outcome if message.conversation_id == conversation else cast("Recorded", "recorded")
                for message in commit.messages
            ],
        )
        clock.now += LOCK_TIMEOUT
    assert [isinstance(outcome, Busy) for outcome in answer.result()] == [
        message.conversation_id == conversation for message in messages
    ]


async def test_of_two_subjects_that_wait_each_has_its_share_although_none_sent_anything_lately(
    queue: AppendQueue, clock: Clock
) -> None:
    queue.add("greedy", said(500))
    commit = queue.take()
    queue.add("greedy", said(500))
    queue.add("greedy", said(500))
    queue.add("quiet", said(1))
    clock.now += 3
    settle(queue, commit)
    assert shares(queue.take())["quiet"] == 1


async def test_no_message_waits_behind_those_of_another_subject_for_its_locked_conversation(
    queue: AppendQueue, clock: Clock
) -> None:
    """The other may be a stranger, who is told as soon as it is tried that there is no such conversation."""
    conversation = uuid4()
    queue.add("owner", told(1, conversation))
    settle(queue, queue.take(), None)
    queue.add("stranger", told(500, conversation))
    while (commit := queue.take()).slices:
        settle(queue, commit)
    queue.add("owner", told(1, conversation))
    clock.now += FIRST_RETRY_DELAY
    assert shares(queue.take()) == {"owner": 2}


async def test_the_patience_with_a_lock_begins_anew_when_some_messages_went_on_record(
    queue: AppendQueue, clock: Clock
) -> None:
    await set_aside(queue, clock, "busy", told(500, uuid4()))
    queue.add("quiet", said(1))
    settle(queue, queue.take())
    clock.now += LOCK_TIMEOUT
    settle(queue, queue.take(), None)
    clock.now += FIRST_RETRY_DELAY
    assert queue.take().slices
