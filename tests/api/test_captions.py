"""Captions beside a recording: two lines of 42, from the start of the call, and not to be broken by what people say."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest
from rich.cells import cell_len

from backend.formats.captions import subrip, webvtt
from backend.formats.line_wrap import WIDTH, wrap
from tests.api.test_transcript_formats import AT, HOSTILE, transcript
from tests.conftest import utterance

CUE = re.compile(r"^(\d\d):(\d\d):(\d\d)[.,](\d{3}) --> (\d\d):(\d\d):(\d\d)[.,](\d{3})$", re.MULTILINE)


@pytest.fixture
def service(shared_service: httpx.AsyncClient) -> httpx.AsyncClient:
    return shared_service


@pytest.fixture
def conversation(shared_conversation: UUID) -> UUID:
    return shared_conversation


def spans(written: str) -> list[tuple[int, int]]:
    """The beginning and the end of each cue, in milliseconds."""
    found = []
    for times in CUE.findall(written):
        first, last = times[:4], times[4:]
        found.append(
            tuple(int(h) * 3_600_000 + int(m) * 60_000 + int(s) * 1_000 + int(f) for h, m, s, f in (first, last))
        )
    return found  # type: ignore[return-value]


def said(seconds: float, content: str, role: str = "user", **metadata: object) -> bytes:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC) + timedelta(seconds=seconds)
    return orjson.dumps({"role": role, "content": content, "timestamp": at, "metadata": metadata})


def captions(*documents: bytes, began: datetime | None = None) -> str:
    writer = webvtt(began)
    return b"".join([*map(writer.write, documents), writer.finish()]).decode()


async def test_captions_are_timed_and_stay_until_the_next(service: httpx.AsyncClient, conversation: UUID) -> None:
    def spoken(seconds: float, content: str, role: str = "user") -> dict[str, Any]:
        return utterance(conversation, content, role=role, timestamp=AT.format(seconds))

    written = await transcript(
        service,
        conversation,
        "vtt",
        spoken(10, "One, two."),
        spoken(10.5, "Three --> four & <b>five</b>\n\n00:00:09.000 --> 00:00:10.000\nsix", "assistant"),
        spoken(50, "At the same time,"),
        spoken(50, "in the end."),
    )
    assert written == (
        f"WEBVTT\n\nNOTE Conversation {conversation}\n"
        "\n00:00:00.000 --> 00:00:00.500\n<v User>One, two.\n"
        "\n00:00:00.500 --> 00:00:05.633\n<v Assistant>Three --&gt; four &amp; &lt;b&gt;five&lt;/b&gt; 00:00:09.000\n"
        "--&gt; 00:00:10.000 six\n"
        "\n00:00:40.000 --> 00:00:42.133\n<v User>At the same time,\n"
        "\n00:00:40.000 --> 00:00:41.733\n<v User>in the end.\n"
    )


async def test_subrip_numbers_its_captions_and_names_the_speaker_where_one_begins(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    long = "Please remind me to call the dentist on Monday, because the appointment of last week was moved to then."
    messages = [
        utterance(conversation, long, timestamp=AT.format(10)),
        utterance(
            conversation,
            "1\n00:00:09,000 --> 00:00:10,000\n<i>No</i> {\\an8}",
            role="assistant",
            timestamp=AT.format(20),
        ),
    ]
    assert await transcript(service, conversation, "srt", *messages) == (
        "1\n00:00:00,000 --> 00:00:05,807\n"
        "User: Please remind me to call the dentist\non Monday, because the appointment of\n\n"
        "2\n00:00:05,807 --> 00:00:07,866\nlast week was moved to then.\n\n"
        "3\n00:00:10,000 --> 00:00:14,200\n"
        "Assistant: 1 00:00:09,000 --› 00:00:10,000\n‹i›No‹/i› ❴\\an8❵\n\n"  # noqa: RUF001 -- as SubRip shows them
    )
    answer = await service.get(f"/api/v1/conversations/{conversation}/transcript?format=srt")
    assert answer.headers["content-type"] == "application/x-subrip"


async def test_time_zero_is_the_start_of_the_call(
    service: httpx.AsyncClient, shared_connection: asyncpg.Connection, conversation: UUID
) -> None:
    began = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
    await shared_connection.execute(
        "INSERT INTO voice_sessions (id, conversation_id, provider, started_at)"
        " VALUES ($1, $3, '', $4), ($2, $3, '', $5)",
        f"vs_{conversation.hex}",
        f"vs_2{conversation.hex}",
        conversation,
        began,
        began + timedelta(hours=1),
    )
    greeting = utterance(conversation, "Hello.", role="assistant", timestamp=AT.format(2.5))
    assert spans(await transcript(service, conversation, "vtt", greeting)) == [(2_500, 3_900)]


def test_a_message_before_the_call_begins_at_zero_and_the_others_keep_their_distance() -> None:
    began = datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
    written = captions(said(0, "Typed before."), said(31, "Hello."), began=began)
    assert [start for start, _ in spans(written)] == [0, 31_000]


def test_only_what_was_said_is_shown() -> None:
    call = '{"zone": "UTC"}'
    written = captions(
        said(0, "Be brief.", "system"),
        said(1, "What time is it?"),
        said(2, call, "function", state="requested", name="clock"),
        said(2.5, "   \n "),
        said(3, "Nine.", "assistant"),
    )
    assert re.findall(r"^<v .*$", written, re.MULTILINE) == ["<v User>What time is it?", "<v Assistant>Nine."]
    assert spans(written)[0] == (1_000, 3_000)


def test_an_utterance_is_shown_while_it_was_spoken_where_the_sender_knew_that() -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    spoken = {
        "started_at": (at + timedelta(seconds=4)).isoformat(),
        "ended_at": (at + timedelta(seconds=9)).isoformat(),
    }
    assert spans(captions(said(0, "Hi."), said(10, "Hello.", **spoken)))[1] == (4_000, 9_000)
    wrongs: tuple[object, ...] = ("yesterday", "2026-01-31T12:00:09", "9999-01-01T00:00:00Z", 7, None, {})
    for wrong in wrongs:
        assert spans(captions(said(10, "Hello.", started_at=wrong, ended_at=wrong))) == [(0, 1_400)]


def test_a_long_utterance_becomes_cues_of_two_lines_that_share_its_time_by_their_lengths() -> None:
    words = " ".join(f"word{number:03}" for number in range(40))
    written = captions(said(0, words), said(20, "Yes.", "assistant"))
    cues = [cue.split("\n") for cue in written.strip("\n").split("\n\n")]
    assert [len(cue) - 1 for cue in cues] == [2, 2, 2, 2, 1]
    assert " ".join(line.removeprefix("<v User>") for cue in cues[:4] for line in cue[1:]) == words
    times = spans(written)
    assert all(end == start for (_, end), (start, _) in pairwise(times[:4]))
    assert [end - start for start, end in times[:4]] == [5_000] * 4


def test_captions_are_in_order_and_each_lasts_a_millisecond_or_more_however_close_the_utterances_are() -> None:
    times = (0.0, 0.0001, 0.0004, 0.0006, 0.0015, 0.0016, 59.9999, 59.99996)
    found = spans(captions(*(said(each, "A long utterance. " * 50) for each in times)))
    assert found == sorted(found, key=lambda span: span[0])
    assert all(end > start for start, end in found)
    starts = [start for start, _ in spans(captions(*(said(each, "A.") for each in times)))]
    assert starts == [0, 0, 0, 1, 2, 2, 60_000, 60_000]


@pytest.mark.parametrize("style", [webvtt, subrip])
def test_nobody_can_say_what_breaks_out_of_a_caption(style: Any) -> None:
    writer = style(None)
    written = b"".join([*(writer.write(said(9, each)) for each in HOSTILE), writer.finish()]).decode()
    blocks = written.strip("\n").split("\n\n")
    assert len(written.splitlines()) == len(written.split("\n")) - 1
    assert len(blocks) == len(CUE.findall(written))
    for block in blocks:
        lines = block.split("\n")
        if style is subrip:
            assert lines.pop(0).isdigit()
        assert CUE.match(lines[0])
        assert 1 <= len(lines[1:]) <= 2
        spoken = "\n".join(lines[1:]).removeprefix("<v User>")
        assert not re.search(r"[<>]|-->", spoken.replace("&lt;", "").replace("<U+", "").replace("&gt;", ""))
    assert {each for each in written if not each.isprintable()} <= {"\n"}


THAI = "ผมอยากไปหาหมอฟันวันจันทร์หน้าเวลาเก้าโมงเช้าช่วยเตือนผมด้วยนะครับขอบคุณมากครับแล้วพบกันใหม่โอกาสหน้า"
JAPANESE = "私は来週の月曜日に歯医者に行きたいのですが、予約は可能でしょうか。「ありがとう」ございます。"
KOREAN = "다음 주 월요일에 치과에 가고 싶은데 예약이 가능할까요? 가능하면 오전 중으로 부탁드립니다."
VIETNAMESE = "Tôi muốn gặp nha sĩ vào thứ hai tuần sau, được không bạn? Cảm ơn rất nhiều nhé và hẹn gặp lại bạn."


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            VIETNAMESE,
            [
                "Tôi muốn gặp nha sĩ vào thứ hai tuần sau,",
                "được không bạn? Cảm ơn rất nhiều nhé và",
                "hẹn gặp lại bạn.",
            ],
        ),
        (KOREAN, ["다음 주 월요일에 치과에 가고 싶은데 예약이", "가능할까요? 가능하면 오전 중으로", "부탁드립니다."]),
        (
            JAPANESE,
            ["私は来週の月曜日に歯医者に行きたいのです", "が、予約は可能でしょうか。「ありがとう」ご", "ざいます。"],
        ),
        (
            THAI,
            [
                "ผมอยากไปหาหมอฟันวันจันทร์หน้าเวลาเก้าโมงเช้าช่วย",
                "เตือนผมด้วยนะครับขอบคุณมากครับแล้วพบกันใหม่",
                "โอกาสหน้า",
            ],
        ),
        ("a" * 50 + " b", ["a" * 42, "aaaaaaaa b"]),
        ("", []),
    ],
    ids=["Vietnamese", "Korean", "Japanese", "Thai", "one word", "nothing"],
)
def test_lines_break_where_a_reader_of_the_language_expects_it(text: str, lines: list[str]) -> None:
    assert [*wrap(text)] == lines


@pytest.mark.parametrize(
    "text",
    [
        VIETNAMESE * 3,
        unicodedata.normalize("NFD", VIETNAMESE) * 3,
        THAI * 3,
        JAPANESE * 3,
        KOREAN * 3,
        "👨‍👩‍👧‍👦👍🏽❤️" * 40,
        "นี้" * 60,
        "（「" * 60 + "。、」" * 60,  # noqa: RUF001 -- where no line may break
    ],
)
def test_no_line_is_wider_than_42_cells_none_begins_with_a_mark_and_no_word_is_lost(text: str) -> None:
    lines = [*wrap(text)]
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    for line in lines:
        assert 0 < cell_len(line) <= WIDTH
        assert not unicodedata.combining(line[0])
        assert line[0] not in "\u200d\ufe0f"


def test_marks_that_are_piled_on_one_character_do_not_make_an_endless_line() -> None:
    assert max(map(len, wrap("e" + "\u0301" * 5_000))) <= 2_000
