"""Each thing that is measured, once: the same messages through every door.

All requests are made before the clock starts. A caller writes to a conversation of its own, every message has an id
of its own, and both services get the same bytes but for the path.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from tests.benchmarks.guarded import token
from tests.benchmarks.load import Measurement, get, load, post
from tests.benchmarks.stage import CONVERSATIONS, OWNER, READ, Database, Stage
from tests.installed import find_postgres_tool

BATCH: Final = 500
PAGE: Final = 100

LITERAL: Final = "single posts, literal seed"
OURS: Final = "single posts, ours"
GUARDED: Final = "single posts, ours with a token each"
WITHOUT: Final = "single posts, ours without a database"
PGBENCH: Final = "single rows, pgbench"
BATCHES: Final = "messages in batches of 500, ours"
LITERAL_PAGES: Final = "pages of 100, literal seed"
OUR_PAGES: Final = "pages of 100, ours"

_API: Final = "/api/v1"
_POSTS: Final = 15_000  # made for each second of a trial, so that nobody runs dry
_BATCHES: Final = 100
_BATCH_CALLERS: Final = 4
_SAID: Final = "Could you move the dentist to Thursday at nine and tell Minh about it?"
_SCRIPT: Final = f"""
    INSERT INTO messages (conversation_id, role, content, input_modality, metadata)
    VALUES (
        ('{str(CONVERSATIONS[0])[:-2]}' || lpad(to_hex(:client_id::int), 2, '0'))::uuid,
        'user', '{_SAID}', 'voice', '{{"languages": ["en"]}}'
    )
"""

Trial = Callable[[float], Measurement]


def trials(stage: Stage, folder: Path) -> dict[str, Trial]:
    """Return everything there is to measure, by name; each takes the seconds it may last."""
    found: dict[str, Trial] = {
        LITERAL: lambda seconds: load(stage.literal, _posts("", seconds), seconds=seconds),
        OURS: lambda seconds: load(stage.ours, _posts(_API, seconds), seconds=seconds),
        GUARDED: lambda seconds: load(stage.guarded, _posts(_API, seconds, token(OWNER)), seconds=seconds),
        WITHOUT: lambda seconds: load(stage.without, _posts(_API, seconds), seconds=seconds),
        BATCHES: lambda seconds: load(stage.ours, _batches(seconds), seconds=seconds),
        LITERAL_PAGES: lambda seconds: load(stage.literal, _pages(""), seconds=seconds),
        OUR_PAGES: lambda seconds: load(stage.ours, _pages(_API), seconds=seconds),
    }
    if pgbench := find_postgres_tool("pgbench"):
        found[PGBENCH] = lambda seconds: _pgbench(pgbench, stage.bare_database, folder, round(seconds) or 1)
    return found


def _posts(api: str, seconds: float, token: str | None = None) -> list[list[bytes]]:
    each = round(_POSTS * seconds / len(CONVERSATIONS))
    return [
        [post(f"{api}/voice/messages", _message(conversation), token=token) for _ in range(each)]
        for conversation in CONVERSATIONS
    ]


def _batches(seconds: float) -> list[list[bytes]]:
    each = round(_BATCHES * seconds / _BATCH_CALLERS)
    return [
        [post(f"{_API}/voice/messages/batch", _batch(conversation)) for _ in range(each)]
        for conversation in CONVERSATIONS[:_BATCH_CALLERS]
    ]


def _pages(api: str) -> list[Iterable[bytes]]:
    request = get(f"{api}/conversations/{READ}/messages?limit={PAGE}")
    return [repeat(request) for _ in CONVERSATIONS]


def _batch(conversation: UUID) -> bytes:
    return b'{"messages":[' + b",".join(_message(conversation) for _ in range(BATCH)) + b"]}"


def _message(conversation: UUID) -> bytes:
    return (
        f'{{"id":"{uuid4()}","conversation_id":"{conversation}","role":"user","content":"{_SAID}",'
        f'"input_modality":"voice","metadata":{{"languages":["en"]}}}}'
    ).encode()


def _pgbench(program: Path, database: Database, folder: Path, seconds: int) -> Measurement:
    """Let PostgreSQL's own client insert the same single row, prepared, from as many connections."""
    script = folder / "insert.sql"
    script.write_text(_SCRIPT)
    options = ["-n", "-M", "prepared", "-c", str(len(CONVERSATIONS)), "-j", "2", "-T", str(seconds), "-l"]
    report = subprocess.run(
        [program, *options, "-f", script],
        cwd=folder,
        env=os.environ | database.environment(),
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    ).stdout
    rate = re.search(r"^tps = ([\d.]+)", report, re.MULTILINE)
    assert rate, report
    measurement = Measurement()
    for log in folder.glob("pgbench_log.*"):
        measurement.latencies += [int(line.split()[2]) / 1e6 for line in log.read_text().splitlines()]
        log.unlink()
    measurement.seconds = len(measurement.latencies) / float(rate[1])
    return measurement
