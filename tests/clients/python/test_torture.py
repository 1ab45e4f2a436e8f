"""Calls through the recorder over a network that does everything wrong, on machines that do the same.

Each call is seeded. Its one or two pipelines share a conversation. A proxy before the service drops, delays, repeats
and resets requests, and answers for the service. Processes are killed and started again, disks fail, clocks jump by
hours. In the end every pipeline's transcript equals what it said, what was refused stands in the spool with its
problem, and what is missing was said at the moment when its process was killed, before it was on disk.

`make torture` runs two hundred, and prints what happened.
"""

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson
import pytest

from tests.clients.python.bad_service import Fault, standing_before
from tests.clients.python.tortured_pipeline import Part, is_taken, role_of
from tests.conftest import connect, open_conversation, serving
from verbatim_record import HttpSink
from verbatim_record.recorder.replay import replay

CALLS = int(os.environ.get("CALLS", "12"))
SEED = int(os.environ.get("SEED", "0"))  # of the first call
AT_ONCE = 8  # calls, which wait most of the time
DEADLINE = 120.0  # seconds for one call
FAULTS = (
    Fault.RESET, Fault.ANSWER_LOST, Fault.DELAY, Fault.REPEAT, Fault.HANG, Fault.HTML_413, Fault.HTML_404,
    Fault.TOKEN_401, Fault.BUSY_429, Fault.ERROR_500, Fault.ITEMS_500, Fault.ITEMS_503, Fault.HTML_502,
)  # fmt: skip
REFUSALS = {"the role is unknown", "422 /problems/invalid", "409 /problems/message-id-reused"}


@dataclass
class Said:
    """What one process said, as it printed: all of it, and how much of it was on disk or on record for certain."""

    numbers: list[int] = field(default_factory=list)
    safe: int = 0
    lost: set[int] = field(default_factory=set)  # what its recorder had no room for, and said so

    def note(self, line: bytes) -> None:
        """Take in one line."""
        match orjson.loads(line):
            case {"said": int(number), "safe": bool(safe)}:
                self.safe = len(self.numbers) if safe else self.safe
                self.numbers.append(number)
            case {"lost": str(number)}:
                self.lost.add(int(number))


Totals = Counter[str]


async def test_every_transcript_equals_its_source_and_nothing_is_silently_gone(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verbatim_record.recorder.writer.LONGEST_PAUSE", 0.05)
    totals: Totals = Counter()
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int, address: str) -> None:
        async with turns, asyncio.timeout(DEADLINE), httpx.AsyncClient(base_url=address, trust_env=False) as service:
            folder = tmp_path / str(seed)
            folder.mkdir()
            await Call(seed, database_url, service, folder, totals).run()

    with serving(database_url) as address:
        async with asyncio.TaskGroup() as tasks:
            for seed in range(SEED, SEED + CALLS):
                tasks.create_task(one(seed, address))
    assert totals["calls"] == CALLS
    assert {fault.name for fault in FAULTS} <= {name for name, count in totals.items() if count} or CALLS < 100
    print(*(f"{count:>8,} {name}" for name, count in totals.items()), sep="\n")  # noqa: T201 -- the report


class Call:
    """One call, and what is to be true of it afterwards."""

    def __init__(self, seed: int, url: str, service: httpx.AsyncClient, folder: Path, totals: Totals) -> None:
        self._chance = random.Random(seed)
        self._seed = seed
        self._url = url
        self._service = service
        self._folder = folder
        self._totals = totals

    async def run(self) -> None:
        """Hold it, and compare the record with what was said."""
        connection = await connect(self._url)
        try:
            conversation = await open_conversation(connection)
            taken = uuid4()
            foreign = {"id": str(taken), "conversation_id": str(conversation), "role": "system", "content": "Mine."}
            (await self._service.post("/api/v1/voice/messages", json=foreign)).raise_for_status()
            async with standing_before(self._service, self._fault) as (network, address):
                plan = Part(address, str(conversation), "", "", 0, 0, 0, str(taken), "", clock=False, dies=False)
                sessions = [f"vs_{self._seed}_{number}" for number in range(self._chance.choice([1, 1, 2]))]
                spools = [self._folder / session for session in sessions]
                spoken = await asyncio.gather(
                    *(
                        self._pipeline(replace(plan, session=session, spool=str(spool)))
                        for session, spool in zip(sessions, spools, strict=True)
                    )
                )
                for spool in spools:
                    await _send_the_rest(spool, address)
            self._totals.update({getattr(fault, "name", "passed on"): n for fault, n in network.faults.items()})
            for session, spool, said in zip(sessions, spools, spoken, strict=True):
                self._compare(said, await _recorded(connection, conversation, session), _refused(spool))
        finally:
            await connection.close()
        self._totals["calls"] += 1

    def _fault(self) -> Fault | None:
        return self._chance.choice(FAULTS) if self._chance.random() < 0.4 else None

    async def _pipeline(self, plan: Part) -> list[Said]:
        """Run the processes of one pipeline, one after the other; each but the last is killed."""
        chance = random.Random(self._chance.random())
        parts = chance.choice([1, 2, 3])
        length = chance.randrange(10, 40)
        said = []
        for number in range(parts):
            part = replace(
                plan,
                seed=chance.getrandbits(32),
                first=number * length,
                last=(number + 1) * length,
                disk=chance.choice(["", "", "full", "unreadable", "slow"]),
                clock=chance.random() < 0.3,
                dies=number < parts - 1,
            )
            said.append(await _process(part))
            self._totals["processes killed"] += part.dies
            self._totals[f"with a disk that is {part.disk}" if part.disk else "with a good disk"] += 1
            self._totals["with a clock that jumps"] += part.clock
        return said

    def _compare(self, spoken: list[Said], recorded: list[int], refused: dict[int, str]) -> None:
        """Each process's transcript is what it said, without what was refused, up to where it was killed."""
        for said in spoken:
            numbers = set(said.numbers)
            stored = [number for number in recorded if number in numbers]
            accepted = [number for number in said.numbers if not _is_refused(number) and number not in said.lost]
            safe = [number for number in said.numbers[: said.safe] if number in accepted]
            assert stored == accepted[: len(stored)], self._seed  # once, in order, without a gap
            assert len(stored) >= len(safe), self._seed
            listed = {number for number in numbers if number in refused}
            expected = {number for number in said.numbers if _is_refused(number)}
            assert (
                {number for number in said.numbers[: said.safe] if _is_refused(number)}
                <= listed | said.lost
                <= (expected | said.lost)
            ), self._seed
            self._totals["said"] += len(said.numbers)
            self._totals["on record"] += len(stored)
            self._totals["refused, and listed with the problem"] += len(listed)
            self._totals["no room, and reported by on_lost"] += len(said.lost - expected)
            self._totals["not on disk yet when the process was killed"] += (
                len(accepted) - len(stored) + len(expected - listed)
            )
        assert recorded == sorted(recorded), self._seed
        assert set(refused.values()) <= REFUSALS, self._seed


async def _send_the_rest(spool: Path, address: str) -> None:
    async with httpx.AsyncClient(timeout=0.5, trust_env=False) as client:
        sink = HttpSink(address, client=client)
        replayed = await replay(spool, sink, patience=DEADLINE, watch=lambda *_: None)
    assert (replayed.left, replayed.others) == (0, 0)


def _refused(spool: Path) -> dict[int, str]:
    """Return the numbers of what a spool still holds, each with the reason."""
    with closing(sqlite3.connect(spool)) as file:
        rows = file.execute("SELECT body, reason FROM spool ORDER BY row").fetchall()
    return {int(orjson.loads(body)["content"].split()[1]): reason for body, reason in rows}


def _is_refused(number: int) -> bool:
    return role_of(number) == "robot" or is_taken(number)


async def _process(part: Part) -> Said:
    command = [sys.executable, "-m", "tests.clients.python.tortured_pipeline", part.write()]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == (-signal.SIGKILL if part.dies else 0), errors.decode()
    said = Said()
    for line in out.splitlines():
        said.note(line)
    if not part.dies:
        said.safe = len(said.numbers)
    return said


async def _recorded(connection: asyncpg.Connection, conversation: UUID, session: str) -> list[int]:
    query = "SELECT content FROM messages WHERE conversation_id = $1 AND voice_session_id = $2 ORDER BY sequence"
    rows: list[Any] = await connection.fetch(query, conversation, session)
    return [int(row["content"].split()[1]) for row in rows]
