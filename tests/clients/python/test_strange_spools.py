"""Spools that a crash damaged or a stranger made: no traceback, no hang, and what is sound in them is sent."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import orjson
import pytest

from tests.clients.python.conftest import Door, Open, contents, sent
from tests.waiting import PATIENCE
from verbatim_record import Answer, BatchRefused, HttpSink, Limits, Recorder, Unsent
from verbatim_record.recorder.entry import LONGEST_BODY
from verbatim_record.recorder.replay import Replayed, replay
from verbatim_record.recorder.spool.sqlite_store import DAMAGED, NO_MESSAGE, SQLiteStore
from verbatim_record.setup_error import SetupError

Read = Callable[[], Awaitable[list[dict[str, Any]]]]
OWNER = "0123456789abcdef"
ADD = "INSERT INTO spool (row, owner, at, body, checksum) VALUES (?, ?, ?, ?, ?)"


def message(conversation: UUID, content: str) -> bytes:
    fields = {"id": uuid4(), "conversation_id": str(conversation), "role": "user", "content": content}
    return orjson.dumps(fields)


def fill(spool: Path, *rows: tuple[int | None, object, object, object], also: str = "") -> None:
    """Make a spool with rows of number, owner, time and body, and do with it what ``also`` says."""
    SQLiteStore(spool, OWNER, 2**28).close()
    with closing(sqlite3.connect(spool)) as file:
        for row, owner, at, body in rows:
            checksum = zlib.crc32(body) if isinstance(body, bytes) else 0
            file.execute(ADD, (row, owner, at, body, checksum))
        file.executescript(also)


async def send(spool: Path, sink: Any) -> Replayed:
    async with asyncio.timeout(PATIENCE):
        return await replay(spool, sink, patience=PATIENCE, watch=lambda *_: None)


def reasons(spool: Path) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(spool)) as file:
        return file.execute("SELECT row, reason FROM spool WHERE reason IS NOT NULL ORDER BY row").fetchall()


@pytest.mark.parametrize("end", [2**62, 2**63 - 1])
@pytest.mark.parametrize("damaged", [True, False])
async def test_row_numbers_near_the_end_are_given_anew(
    spool: Path, conversation: UUID, open_recorder: Open, record_of: Read, *, damaged: bool, end: int
) -> None:
    rows = [(None, OWNER, 1.0, message(conversation, f"{number} {'x' * 300}")) for number in range(100)]
    fill(spool, *rows, also=f"UPDATE sqlite_sequence SET seq = {end}")
    if damaged:
        with spool.open("r+b") as file:
            file.seek(4096 * 5)
            file.write(b"\xa5" * 4096)
    async with asyncio.timeout(PATIENCE), open_recorder() as recorder:
        recorder.record("user", "100 at last")
        await sent(recorder)
    found = [int(content.split()[0]) for content in contents(await record_of())]
    assert found == sorted(found)
    assert found[-1] == 100
    assert len(found) == 101 if not damaged else len(found) >= 85  # what is on one page


@pytest.mark.parametrize("numbers", [(5, 2**62 + 7), (-3, 8)])
async def test_rows_with_numbers_that_no_spool_gives_are_in_nobodys_way(
    spool: Path, conversation: UUID, door: Door, record_of: Read, numbers: tuple[int, int]
) -> None:
    fill(spool, *[(row, OWNER, 1.0, message(conversation, str(row))) for row in numbers])
    replayed = await send(spool, door)
    assert (replayed.left, replayed.refusals) == (0, Counter())
    assert contents(await record_of()) == [str(row) for row in numbers]
    assert spool.with_name("calls.spool.damaged-1").exists()


@pytest.mark.parametrize(
    "owner",
    ["../elsewhere", "a/b", "a\0b", f"{OWNER}\0", "", "x" * 5_000, b"\xff\xfe", 17, f"{OWNER}é", "..", "\ud7ff"],
)
async def test_an_owner_is_never_a_path(
    spool: Path, conversation: UUID, door: Door, record_of: Read, owner: object
) -> None:
    fill(spool, (None, owner, 1.0, message(conversation, "Mine?")))

    def files() -> set[Path]:  # beside the test's folder is PostgreSQL's, in which files come and go
        return {*spool.parent.rglob("*"), *spool.parent.parent.glob("*")}

    before = files()
    replayed = await send(spool, door)
    assert (replayed.sent, replayed.left, replayed.others) == (1, 0, 0)
    assert contents(await record_of()) == ["Mine?"]
    assert files() == before


async def test_an_owner_that_is_no_utf_8_loses_nothing(
    spool: Path, conversation: UUID, door: Door, record_of: Read
) -> None:
    fill(
        spool,
        (None, OWNER, 1.0, message(conversation, "Mine?")),
        also="UPDATE spool SET owner = CAST(x'ff2f00fe' AS TEXT)",
    )
    assert (await send(spool, door)).sent == 1
    assert contents(await record_of()) == ["Mine?"]


async def test_what_stands_in_a_row_is_taken_for_nothing_that_it_is_not(
    spool: Path, conversation: UUID, door: Door, record_of: Read
) -> None:
    pair = message(conversation, "a") + b"," + message(conversation, "b")
    bodies = [
        *(message(conversation, "First."), 17, 1.5, "text", pair, b"[1]", b"{", b"\xff", b"[" * 100_000),
        *(message(conversation, "x" * LONGEST_BODY), b"", message(conversation, "Last.")),
    ]
    fill(
        spool,
        *[(None, OWNER, 1.0, body) for body in bodies],
        also="UPDATE spool SET body = CAST(x'fffe' AS TEXT) WHERE row = 4;"
        "UPDATE spool SET checksum = 'x' WHERE row = 11",
    )
    replayed = await send(spool, door)
    assert (replayed.sent, replayed.left) == (2, 0)
    assert replayed.refusals == {DAMAGED: 5, NO_MESSAGE: 5}
    assert contents(await record_of()) == ["First.", "Last."]
    assert [row for row, _ in reasons(spool)] == [*range(2, 12)]


@pytest.mark.parametrize("at", ["yesterday", b"\0", float("inf"), -1e308, "CAST(x'ff' AS TEXT)"])
async def test_a_time_that_is_none_costs_no_message(
    at: object, conversation: UUID, open_recorder: Open, door: Door, request: pytest.FixtureRequest
) -> None:
    spool, record_of = request.getfixturevalue("spool"), request.getfixturevalue("record_of")
    also = f"UPDATE spool SET at = {at}" if isinstance(at, str) and at.startswith("CAST") else ""
    fill(spool, (None, OWNER, at, message(conversation, "When?")), also=also)
    door.shut = True
    async with asyncio.timeout(PATIENCE), open_recorder() as recorder:
        await door.knocked.wait()
        assert recorder.stats.oldest_unsent_seconds >= 0
        door.shut = False
        await sent(recorder)
    assert contents(await record_of()) == ["When?"]


STRANGE = {
    "a view": "DROP TABLE spool; CREATE VIEW spool AS WITH RECURSIVE n (row) AS (SELECT 1 UNION ALL SELECT row FROM n) "
    "SELECT row, '' AS owner, 1.0 AS at, x'' AS body, 0 AS checksum, NULL AS reason FROM n",
    "a trigger": "CREATE TRIGGER t AFTER UPDATE ON spool BEGIN DELETE FROM spool; END",
    "an index": "CREATE INDEX i ON spool (abs(row))",
    "another column": "ALTER TABLE spool ADD COLUMN more AS (hex(zeroblob(100)))",
    "fewer columns": "DROP TABLE spool; CREATE TABLE spool (row INTEGER PRIMARY KEY AUTOINCREMENT)",
    "no table": "DROP TABLE spool; CREATE TABLE other (row)",
}


@pytest.mark.parametrize("made", STRANGE.values(), ids=STRANGE.keys())
async def test_a_file_that_holds_more_than_a_spool_is_a_sentence(spool: Path, made: str) -> None:
    fill(spool, (None, OWNER, 1.0, b"{}"), also=made)
    before = spool.read_bytes()  # noqa: ASYNC240
    with pytest.raises(SetupError, match=r"The spool .* cannot be opened: it is a database of something else"):
        async with asyncio.timeout(PATIENCE):
            await replay(spool, Never(), patience=0, watch=lambda *_: None)
    assert spool.read_bytes() == before  # noqa: ASYNC240


def test_the_command_answers_a_file_that_is_no_spool_with_a_sentence(spool: Path) -> None:
    fill(spool, also=STRANGE["a trigger"])
    command = [sys.executable, "-m", "backend", "replay", str(spool), "--url", "http://127.0.0.1:9"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"verbatim: The spool {spool} cannot be opened: it is a database of something else")


async def test_what_only_looks_like_a_lock_is_left_alone(
    spool: Path, conversation: UUID, door: Door, record_of: Read
) -> None:
    fill(spool, (None, OWNER, 1.0, message(conversation, "Hello.")))
    spool.with_name(f"{spool.name}-{'a' * 16}").mkdir()
    spool.with_name(f"{spool.name}-{'b' * 16}").symlink_to(spool.parent / "made")
    assert (await send(spool, door)).sent == 1
    assert contents(await record_of()) == ["Hello."]
    assert not (spool.parent / "made").exists()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("shared", [True, False])
async def test_a_spool_that_others_may_read_becomes_private(
    tmp_path: Path, conversation: UUID, door: Door, *, shared: bool
) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    folder.chmod(0o755)
    spool = folder / "calls.spool"
    fill(spool, (None, OWNER, 1.0, message(conversation, "Hello.")))
    if shared:
        (folder / "another program's").touch()
    spool.with_name(f"{spool.name}-wal").touch()
    for file in folder.iterdir():
        file.chmod(0o644)
    folder.chmod(0o755)
    door.shut = True
    limits = Limits(closing=0.0)
    async with Recorder(door, conversation_id=conversation, spool=spool, limits=limits) as recorder:
        recorder.record("user", "Hello again.")
        recorder._spool.flush().result(PATIENCE)
        files = {file.name.removeprefix("calls.spool"): mode(file) for file in folder.iterdir()}
    assert files.pop("another program's", 0o644) == 0o644
    assert {"", "-wal", "-shm"} < files.keys()
    assert set(files.values()) == {0o600}
    assert mode(folder) == (0o755 if shared else 0o700)


class Never:
    """A sink that nothing may be sent to."""

    async def open(self) -> None:
        pass

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        raise AssertionError(len(messages))

    async def aclose(self) -> None:
        """Nothing was opened."""


class Spoilt:
    """A service that refuses every request with one of some messages in it."""

    def __init__(self, service: httpx.AsyncClient, status: int, answer: bytes, *poison: bytes) -> None:
        self.requests = 0
        self.sink = HttpSink("http://127.0.0.1:9", client=httpx.AsyncClient(transport=httpx.MockTransport(self.take)))
        self.service, self.status, self.answer, self.poison = service, status, answer, poison

    async def take(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        if any(word in request.content for word in self.poison):
            return httpx.Response(
                self.status, content=self.answer, headers={"content-type": "application/problem+json"}
            )
        passed = await self.service.post(request.url.path, content=request.content, headers=dict(request.headers))
        return httpx.Response(passed.status_code, content=passed.content)


@pytest.mark.parametrize("status", [413, 422])
async def test_a_row_that_has_its_batch_refused_is_set_aside_and_the_others_go_on_in_order(
    spool: Path, conversation: UUID, service: httpx.AsyncClient, record_of: Read, status: int
) -> None:
    fill(spool, *[(None, OWNER, 1.0, message(conversation, f"Number {number}.")) for number in range(200)])
    problem = b'{"type": "/problems/strange", "status": %d}' % status
    spoilt = Spoilt(service, status, problem, b'"Number 77."', b'"Number 140."')
    replayed = await send(spool, spoilt.sink)
    assert (replayed.sent, replayed.left) == (198, 0)
    assert replayed.refusals == {f"{status} /problems/strange": 2}
    assert reasons(spool) == [(78, f"{status} /problems/strange"), (141, f"{status} /problems/strange")]
    assert contents(await record_of()) == [f"Number {number}." for number in range(200) if number not in {77, 140}]
    assert spoilt.requests < 40


async def test_what_a_proxy_finds_too_large_goes_through_in_parts(
    spool: Path, conversation: UUID, service: httpx.AsyncClient, record_of: Read
) -> None:
    class Small(Spoilt):
        async def take(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(413) if len(request.content) > 1_000 else await super().take(request)

    fill(spool, *[(None, OWNER, 1.0, message(conversation, f"Number {number}.")) for number in range(40)])
    replayed = await send(spool, Small(service, 0, b"").sink)
    assert (replayed.sent, replayed.refusals) == (40, Counter())
    assert contents(await record_of()) == [f"Number {number}." for number in range(40)]


async def test_a_proxy_refuses_no_single_message_for_good() -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(413, text="<html>")))
    sink = HttpSink("http://127.0.0.1:9", client=client)
    with pytest.raises(Unsent) as raised:
        await sink.send([b"{}"])
    assert not isinstance(raised.value, BatchRefused)


async def test_a_thousand_owners_that_are_gone_are_taken_over_in_one_go(
    spool: Path, conversation: UUID, door: Door, record_of: Read
) -> None:
    rows = [(None, os.urandom(8).hex(), 1.0, message(conversation, f"{number}")) for number in range(1_000)]
    fill(spool, *rows)
    opened: list[str] = []
    sys.addaudithook(lambda event, about: opened.append(str(about[0])) if event == "open" else None)
    assert (await send(spool, door)).sent == 1_000
    assert sum(path.startswith(f"{spool}-") for path in opened) < 20
    assert contents(await record_of()) == [str(number) for number in range(1_000)]
