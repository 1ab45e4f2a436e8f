"""What hangs on a message never costs the message: it is repaired, and the names of what was repaired are listed."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from backend.schemas.message import MessageCreate
from backend.schemas.parsing import parse_item
from tests.clients.python.conftest import Open, contents, sent
from tests.clients.python.test_recorder import left_in
from verbatim_record.recorder.message_repair import encode, encoded, repair_message, snapshot_of

Read = Callable[[], Awaitable[list[dict[str, Any]]]]

HALF = "\ud83d"


class Ticket(BaseModel):
    number: int
    key: SecretStr


@dataclass
class Seat:
    row: int


class Mood(Enum):
    GLAD = "glad"


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("secret")


class Broken(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("secret")

    def __len__(self) -> int:
        return 1


def cycle() -> dict[str, Any]:
    around: dict[str, Any] = {}
    around["around"] = [around] * 10
    return around


# What a pipeline hands over as the value of `given`, and what stands in the record.
REPAIRED: list[tuple[Any, Any]] = [
    (Decimal("19.90"), "19.90"),
    ({7}, [7]),
    (frozenset(), []),
    (b"caf\xc3\xa9 \xff", "café \ufffd"),
    (Ticket(number=7, key=SecretStr("k")), {"number": 7, "key": "**********"}),
    (2**60, str(2**60)),
    (float("nan"), "nan"),
    (float("-inf"), "-inf"),
    (10**5_000, "<int>"),
    (Fraction(1, 3), 1 / 3),
    (f"half {HALF} of it", "half \ufffd of it"),
    ("\ud83d\ude00", "😀"),
    ("nul\0", "nul\ufffd"),
    ({7: "seven", "7": "SEVEN"}, {"7": "seven", "7_": "SEVEN"}),
    ([{"deep": Decimal(1)}], [{"deep": "1"}]),
    (Hostile(), "<Hostile>"),
    (1j, "1j"),
]
KEPT: list[tuple[Any, Any]] = [
    (("a", 1), ["a", 1]),
    (Mood.GLAD, "glad"),
    (Seat(row=3), {"row": 3}),
    (UUID(int=7), str(UUID(int=7))),
    (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00+00:00"),
    (date(2026, 1, 31), "2026-01-31"),
    (0.25, 0.25),
    (None, None),
    (["né", {"x": True}], ["né", {"x": True}]),
]


@pytest.mark.parametrize(("handed", "stored"), REPAIRED, ids=lambda value: type(value).__name__)
async def test_what_json_cannot_say_is_written_otherwise_and_named(handed: Any, stored: Any) -> None:
    metadata = mended(metadata={"given": handed, "fine": 1})["metadata"]
    names = metadata.pop("repaired")
    assert metadata == {"given": stored, "fine": 1}
    assert names
    assert all(name.startswith("/metadata/given") for name in names)


@pytest.mark.parametrize(("handed", "stored"), KEPT, ids=lambda value: type(value).__name__)
async def test_what_json_says_as_well_is_no_repair(handed: Any, stored: Any) -> None:
    assert mended(metadata={"given": handed})["metadata"] == {"given": stored}


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"content": f"Call {HALF} me."}, "/content"),
        ({"content": "Call\0 me."}, "/content"),
        ({"metadata": 7}, "/metadata"),
        ({"metadata": Broken()}, "/metadata"),
        ({"metadata": cycle()}, "/metadata/around"),
        ({"metadata": {"long": "é" * 20_000}}, "/metadata/long"),
        ({"metadata": {"many": list(range(10_000))}}, "/metadata/many"),
        ({"metadata": {f"name {number}": "x" * 30 for number in range(2_000)}}, "/metadata"),
        ({"metadata": {"x" * 20_000: 1}}, "/metadata"),
        ({"metadata": {HALF: 1}}, "/metadata"),
        ({"metadata": {"a/b~": Decimal(1)}}, "/metadata/a~1b~0"),
        ({"timestamp": datetime(2026, 1, 31)}, "/timestamp"),  # noqa: DTZ001 -- the fault
        ({"timestamp": "half past nine"}, "/timestamp"),
        ({"timestamp": datetime.min.replace(tzinfo=UTC).isoformat().replace("+00:00", "+14:00")}, "/timestamp"),
        ({"timestamp": object()}, "/timestamp"),
        ({"id": object()}, "/id"),
        ({"id": "nine"}, "/id"),
        ({"input_modality": "smell"}, "/input_modality"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(*value),
)
async def test_no_word_is_lost_for_what_hangs_on_it(
    open_recorder: Open, record_of: Read, fault: dict[str, Any], name: str, spool: Path
) -> None:
    handed: list[bytes] = []
    async with open_recorder(on_lost=handed.append) as recorder:
        taken = recorder.record(**({"role": "user", "content": "Call me."} | fault))
        recorder.record("user", "And on it goes.")
        await sent(recorder)
        assert (recorder.stats.sent, recorder.stats.refused) == (2, 0)
    first, second = await record_of()
    assert first["id"] == taken
    assert first["content"].replace("\ufffd", "").replace(" ", "") == "Callme."
    assert name in first["metadata"]["repaired"]
    assert len(first["metadata"]["repaired"]) <= 16
    assert (second["content"], second["metadata"]) == ("And on it goes.", {})
    assert (left_in(spool), handed) == ([], [])


async def test_an_id_and_a_time_that_are_good_are_kept_however_they_are_written(
    open_recorder: Open, record_of: Read
) -> None:
    chosen = uuid4()
    async with open_recorder() as recorder:
        assert recorder.record("user", "Hello.", id=str(chosen), timestamp="2026-01-31T09:30:00+07:00") == str(chosen)
    [row] = await record_of()
    assert (row["id"], row["timestamp"]) == (chosen, datetime(2026, 1, 31, 2, 30, tzinfo=UTC))
    assert row["metadata"] == {}


@pytest.mark.parametrize(("name", "stored"), [(f"vs_{HALF}", "vs_\ufffd"), ("v" * 300, "v" * 255), (7, "7")])
async def test_a_name_of_a_voice_session_that_is_none_costs_no_message(
    open_recorder: Open, record_of: Read, name: Any, stored: str | None
) -> None:
    async with open_recorder(voice_session_id=name) as recorder:
        recorder.record("user", "Hello.")
    [row] = await record_of()
    assert (row["content"], row["voice_session_id"]) == ("Hello.", stored)
    assert row["metadata"] == {"repaired": ["/voice_session_id"]}


async def test_what_was_repaired_before_stays_named(open_recorder: Open, record_of: Read) -> None:
    async with open_recorder() as recorder:
        recorder.record("user", "Hello.", metadata={"repaired": ["/metadata/languages"], "price": Decimal(1)})
    [row] = await record_of()
    assert row["metadata"] == {"repaired": ["/metadata/languages", "/metadata/price"], "price": "1"}


@pytest.mark.parametrize(
    "fault",
    [{"role": "robot"}, {"role": None}, {"role": ["user"]}, {"content": None}, {"content": object()}],
    ids=lambda fault: str(*fault),
)
async def test_what_can_be_no_message_is_in_the_spool_with_its_reason_and_handed_over(
    open_recorder: Open, record_of: Read, fault: dict[str, Any], spool: Path
) -> None:
    handed: list[bytes] = []
    said: dict[str, Any] = {"role": "user", "content": "Call me.", "metadata": {"price": Decimal(1)}} | fault
    async with open_recorder(on_lost=handed.append) as recorder:
        assert recorder.record(**said) is None
        recorder.record("user", "And on it goes.")
        await sent(recorder)
    assert contents(await record_of()) == ["And on it goes."]
    [(_, reason)] = left_in(spool)
    assert reason in {"the role is unknown", "the content is not text"}
    assert len(handed) == 1
    assert b'"price":"1"' in handed[0]


async def test_what_comes_before_it_is_opened_is_handed_over(open_recorder: Open) -> None:
    handed: list[bytes] = []
    recorder = open_recorder(on_lost=handed.append)
    assert recorder.record("user", "Too early.") is None
    assert len(handed) == 1
    assert b"Too early." in handed[0]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=50)
    | st.binary(max_size=50)
    | st.decimals()
    | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(codec=None), max_size=9) | st.integers(), inner, max_size=5)
        | st.builds(set, st.lists(st.integers(), max_size=3))
    ),
    max_leaves=30,
)


@given(st.text(st.characters(codec=None)), values)
def test_whatever_hangs_on_a_text_the_service_takes_it(content: str, metadata: Any) -> None:
    message = mended(content=content, metadata=metadata)
    parse_item(MessageCreate, {**message, "id": str(message["id"]), "timestamp": message["timestamp"].isoformat()})


@given(st.text(max_size=50), st.dictionaries(st.text(max_size=9), values, max_size=5))
def test_what_is_encoded_after_record_has_returned_is_what_would_have_been_encoded_at_once(
    content: str, metadata: dict[str, Any]
) -> None:
    message = usual(id=UUID(int=7), content=content, metadata=metadata)
    at_once = encode(repair_message(message, 7.0)[0])
    snapshot = snapshot_of(metadata)
    assert snapshot is None or encoded(message, snapshot, 7.0) == at_once


def mended(**given: Any) -> dict[str, Any]:
    [found] = repair_message(usual(**given), time.time())
    return found


def usual(**given: Any) -> dict[str, Any]:
    return {
        "id": None,
        "conversation_id": str(UUID(int=1)),
        "role": "user",
        "content": "Call me.",
        "input_modality": "voice",
        "metadata": None,
        "timestamp": None,
        "voice_session_id": None,
    } | given
