"""What a pipeline may rely on: a word costs nothing, and none is lost, doubled or reordered."""

import asyncio
import sqlite3
import tracemalloc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from prometheus_client import REGISTRY

from backend.principal import LOCAL
from backend.services import conversations
from backend.services.appender_sink import AppenderSink
from tests.clients.python.conftest import Door, Open, contents, sent
from tests.waiting import PATIENCE, until
from verbatim_record import Recorder, Sink
from verbatim_record.message_limits import CONTENT_BYTES
from verbatim_record.setup_error import SetupError

CANARY = "my neighbour's canary sings at dawn"

Read = Callable[[], Awaitable[list[dict[str, Any]]]]


def left_in(spool: Path) -> list[tuple[str, str | None]]:
    """Return the contents and the reasons of what is in a spool that nobody uses."""
    with sqlite3.connect(spool) as file:
        rows = file.execute("SELECT body, reason FROM spool ORDER BY row").fetchall()
    file.close()
    return [(orjson.loads(body)["content"], reason) for body, reason in rows]


async def test_what_is_said_goes_on_record_with_its_identity_its_order_and_its_time(
    sink: Sink, conversation: UUID, spool: Path, record_of: Read
) -> None:
    before = datetime.now(UTC)
    chosen, moment = uuid4(), datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    async with Recorder(sink, conversation_id=conversation, spool=spool, voice_session_id="vs_1") as recorder:
        given = recorder.record("user", "Remind me to call the dentist.")
        recorder.record("assistant", "Done.", id=chosen, timestamp=moment, metadata={"latency_ms": 412})
        recorder.record("function", "", timestamp="2026-01-31T09:30:01Z", input_modality="text")
    first, second, third = await record_of()
    assert (first["id"], first["role"], first["content"]) == (given, "user", "Remind me to call the dentist.")
    assert before <= first["timestamp"] <= datetime.now(UTC)
    assert (second["id"], second["timestamp"], second["metadata"]) == (chosen, moment, {"latency_ms": 412})
    assert (third["timestamp"], third["input_modality"]) == (moment + timedelta(seconds=1), "text")
    assert [row["client_sequence"] for row in (first, second, third)] == [1, 2, 3]
    assert {row["voice_session_id"] for row in (first, second, third)} == {"vs_1"}
    assert (recorder.stats.sent, recorder.stats.queued, left_in(spool)) == (3, 0, [])


async def test_a_thousand_words_at_once_keep_their_order(open_recorder: Open, record_of: Read, door: Door) -> None:
    async with open_recorder() as recorder:
        for number in range(1000):
            recorder.record("user", str(number))
    assert contents(await record_of()) == list(map(str, range(1000)))
    assert len(door.attempts) <= 20


@pytest.mark.parametrize(
    "fault",
    [
        {"role": "robot"},
        {"role": ["user"]},
        {"content": None},
    ],
    ids=lambda fault: str(*fault),
)
async def test_what_can_be_no_message_is_counted_and_never_raised(
    open_recorder: Open, record_of: Read, fault: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_recorder() as recorder:
        assert recorder.record(**({"role": "user", "content": CANARY} | fault)) is None
        assert recorder.stats.refused == 1
        recorder.record("user", "And on it goes.")
    [row] = await record_of()
    assert (row["content"], row["client_sequence"]) == ("And on it goes.", 2)
    said = capfd.readouterr()
    assert "message refused" in said.out
    assert "canary" not in said.out + said.err


async def test_before_it_is_opened_and_after_it_is_closed_nothing_is_taken_and_nothing_raised(
    open_recorder: Open, record_of: Read
) -> None:
    recorder = open_recorder()
    assert recorder.record("user", "Too early.") is None
    async with recorder:
        pass
    assert recorder.record("user", "Too late.") is None
    assert recorder.stats.refused == 2
    assert await record_of() == []
    await recorder.aclose()


async def test_what_the_record_refuses_is_kept_with_the_reason_and_the_rest_proceeds(
    sink: Sink, conversation: UUID, spool: Path, record_of: Read
) -> None:
    taken = uuid4()
    async with Recorder(sink, conversation_id=conversation, spool=spool) as recorder:
        recorder.record("user", "One.", id=taken)
        recorder.record("user", "Another with the same id.", id=taken)
        recorder.record("user", "Two.")
        await sent(recorder)
        assert (recorder.stats.sent, recorder.stats.refused, recorder.stats.queued) == (2, 1, 0)
    assert contents(await record_of()) == ["One.", "Two."]
    [(first, why)] = left_in(spool)
    assert first == "Another with the same id."
    assert "another content" in str(why) or "/problems/message-id-reused" in str(why)


@pytest.mark.parametrize("told", ["1970-01-01T00:00:07Z", "2569-01-31T09:30:00+00:00", "0001-01-01T00:00:00Z"])
async def test_a_clock_that_is_wrong_loses_no_word(
    sink: Sink, conversation: UUID, spool: Path, record_of: Read, told: str
) -> None:
    async with Recorder(sink, conversation_id=conversation, spool=spool) as recorder:
        recorder.record("user", "One.", timestamp=told)
        recorder.record("user", "Two.")
    one, two = await record_of()
    assert (one["content"], one["metadata"]) == ("One.", {"repaired": ["/timestamp"]})
    assert (two["content"], two["metadata"]) == ("Two.", {})


@pytest.mark.parametrize("letter", ["x", "ỏ", "\U0001f600", "\x01", '"'])
async def test_a_text_that_is_longer_than_a_message_goes_on_in_further_ones(
    sink: Sink, conversation: UUID, spool: Path, record_of: Read, letter: str
) -> None:
    text = letter * (CONTENT_BYTES // len(letter.encode()) + 1)
    chosen = uuid4()
    async with Recorder(sink, conversation_id=conversation, spool=spool) as recorder:
        assert recorder.record("user", "Before.")
        assert recorder.record("function", text, id=chosen, metadata={"state": "completed"}) == chosen
        assert recorder.record("user", "Behind.")
    before, *parts, behind = await record_of()
    assert (before["content"], behind["content"]) == ("Before.", "Behind.")
    assert "".join(part["content"] for part in parts) == text
    assert parts[0]["id"] == chosen
    for number, part in enumerate(parts, 1):
        of = {"number": number, "of": len(parts)}
        assert part["metadata"] == {"state": "completed", "part": of, "repaired": ["/content"]}
        assert part["client_sequence"] == 2


async def test_what_is_said_for_an_erased_conversation_is_kept_nowhere(
    sink: Sink, conversation: UUID, spool: Path, database: Any
) -> None:
    await conversations.erase(database, LOCAL, conversation)
    async with Recorder(sink, conversation_id=conversation, spool=spool) as recorder:
        recorder.record("user", "Forget me.")
        await sent(recorder)
        assert recorder.stats.refused == 1
    assert left_in(spool) == []
    assert b"Forget me" not in spool.read_bytes()  # noqa: ASYNC240 -- the recorder is closed


async def test_a_failed_batch_stays_in_hand_and_is_sent_again_as_it_was(
    open_recorder: Open, record_of: Read, door: Door
) -> None:
    door.loses_answers = 3
    async with open_recorder() as recorder:
        for number in range(5):
            recorder.record("user", str(number))
        await sent(recorder)
        recorder.record("user", "5")
    assert door.attempts[:4] == [door.attempts[0]] * 4
    assert contents(await record_of()) == list(map(str, range(6)))
    assert recorder.stats.sent == 6


async def test_what_does_not_fit_into_memory_is_read_back_from_disk_in_order(
    open_recorder: Open, record_of: Read, door: Door
) -> None:
    door.shut = True
    async with open_recorder(limits={"memory": 5_000}) as recorder:
        for number in range(400):
            recorder.record("user", str(number))
            if number % 5 == 4:
                # The disk is given its time; a speaker is slower.
                await until(lambda: recorder._spool.unsaved < 1_000)
        assert recorder._writer._memory_used <= 5_000
        assert (recorder.stats.queued, recorder.stats.lost) == (400, 0)
        assert recorder.stats.oldest_unsent_seconds > 0
        door.shut = False
        await sent(recorder)
        recorder.record("user", "400")
    assert contents(await record_of()) == list(map(str, range(401)))


async def test_what_is_refused_among_messages_that_are_on_disk_alone_reorders_none(
    open_recorder: Open, record_of: Read, door: Door
) -> None:
    door.shut = True
    async with open_recorder(limits={"memory": 2_000}) as recorder:
        for number in range(40):
            recorder.record("user", str(number))
            recorder.record("robot", "No message.")
            await until(lambda: recorder._spool.unsaved == 0)
        door.shut = False
        await sent(recorder)
        recorder.record("user", "40")
    assert contents(await record_of()) == list(map(str, range(41)))


async def test_when_memory_and_disk_are_full_the_newest_are_lost_and_never_silently(
    open_recorder: Open, record_of: Read, door: Door, capfd: pytest.CaptureFixture[str]
) -> None:
    door.shut = True
    lost: list[bytes] = []
    words = "la " * 300
    async with open_recorder(limits={"memory": 20_000, "disk": 65_536}, on_lost=lost.append) as recorder:
        for number in range(200):
            recorder.record("user", f"{number} {words}")
            await until(lambda: recorder._spool.unsaved == 0 or recorder._spool._pending._failing)
        assert lost
        assert recorder.stats.lost == len(lost)
        assert recorder.stats.queued == 200 - len(lost)
        door.shut = False
        await sent(recorder)
    kept = [int(row["content"].split()[0]) for row in await record_of()]
    gone = [int(orjson.loads(body)["content"].split()[0]) for body in lost]
    assert kept + gone == list(range(200))
    assert kept[0] == 0
    said = capfd.readouterr().out
    assert "messages lost" in said
    assert "spool cannot be written" in said
    assert "la la" not in said


async def test_closing_is_bounded_however_the_sink_behaves_and_the_next_recorder_sends_the_rest(
    open_recorder: Open, record_of: Read, door: Door, appender: Any, spool: Path
) -> None:
    door.hangs = True
    recorder = open_recorder()
    await recorder.__aenter__()
    for number in range(3):
        recorder.record("user", str(number))
    await door.knocked.wait()
    recorder.record("user", "3")
    async with asyncio.timeout(PATIENCE):
        await recorder.aclose(timeout=0.1)
    assert contents(await record_of()) == []
    assert [content for content, _ in left_in(spool)] == ["0", "1", "2", "3"]
    door.hangs = False

    async with open_recorder(sink=AppenderSink(appender, LOCAL)) as another:
        assert another.stats.queued == 4
        another.record("user", "4")
    assert contents(await record_of()) == ["0", "1", "2", "3", "4"]
    assert left_in(spool) == []


async def test_recorders_that_share_a_spool_leave_each_other_alone(
    open_recorder: Open, door: Door, appender: Any, spool: Path
) -> None:
    door.shut = True
    async with open_recorder(limits={"closing": 0.01}) as one:
        one.record("user", "One.")
        await until(lambda: one.stats.spooled == 1)
        async with open_recorder(sink=AppenderSink(appender, LOCAL)) as other:
            other.record("user", "Two.")
            await sent(other)
        assert other.stats.sent == 1
        assert one.stats.queued == 1
    assert left_in(spool) == [("One.", None)]
    assert list(spool.parent.iterdir()) == [spool]


async def test_it_stands_among_the_metrics_without_a_word(open_recorder: Open, door: Door) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"verbatim_recorder_{name}", labels) or 0.0

    before = value("messages_total", outcome="sent")
    door.shut = True
    async with open_recorder() as recorder:
        recorder.record("user", CANARY)
        recorder.record("user", CANARY)
        await until(lambda: recorder.stats.spooled == 2)
        assert (value("queued_messages"), value("spooled_messages")) == (2, 2)
        assert value("oldest_unsent_seconds") > 0
        door.shut = False
        await sent(recorder)
    assert value("messages_total", outcome="sent") == before + 2
    assert value("queued_messages") == 0


async def test_retries_are_logged_without_the_words(
    open_recorder: Open, door: Door, capfd: pytest.CaptureFixture[str]
) -> None:
    door.loses_answers = 1
    async with open_recorder() as recorder:
        recorder.record("user", CANARY, metadata={CANARY: CANARY})
    said = capfd.readouterr()
    assert "messages are not sent, and will be sent again: ConnectionResetError" in said.out
    assert "canary" not in said.out + said.err


async def test_a_spool_that_cannot_be_is_a_sentence_at_the_start(
    conversation: UUID, door: Door, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=r"The spool .* cannot be opened"):
        async with Recorder(door, conversation_id=conversation, spool=tmp_path / "nowhere" / "calls.spool"):
            pass
    foreign = tmp_path / "other.db"
    with sqlite3.connect(foreign) as file:
        file.execute("CREATE TABLE theirs (x)")
    file.close()
    with pytest.raises(SetupError, match="a database of something else"):
        async with Recorder(door, conversation_id=conversation, spool=foreign):
            pass


async def test_nobody_else_can_read_the_spool(open_recorder: Open, spool: Path) -> None:
    async with open_recorder():
        modes = {path.stat().st_mode & 0o777 for path in spool.parent.iterdir()}
    assert modes == {0o600}


async def test_what_waits_takes_memory_by_its_length(open_recorder: Open, door: Door) -> None:
    door.shut = True
    async with open_recorder(limits={"closing": 0.0}) as recorder:
        tracemalloc.start()
        for number in range(5_000):
            recorder.record("user", f"This is sentence {number}.")
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert held < 5_000 * 1_500
