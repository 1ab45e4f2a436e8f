"""Each thing that is measured, once: the same messages through every door.

All requests are made before the clock starts. A caller writes to a conversation of its own, if the name says nothing
else, every message has an id of its own, and all services get the same bytes but for the path. With two workers the
load shares two processors with them; so what their processor time is says more than the rate.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from typing import Final
from urllib.request import Request, urlopen
from uuid import UUID, uuid4

from tests.benchmarks.guarded import token
from tests.benchmarks.load import Measurement, get, load, post
from tests.benchmarks.processor import processor_seconds
from tests.benchmarks.stage import (
    CALLERS,
    CONVERSATIONS,
    ECHO,
    GUARDED,
    LITERAL,
    OURS,
    OWNER,
    RAW_ECHO,
    READ,
    TWO,
    WITHOUT,
    Database,
    Stage,
)
from tests.installed import find_postgres_tool

BATCH: Final = 500
PAGE: Final = 100

POSTS: Final = {name: f"single posts, {name}" for name in (RAW_ECHO, ECHO, LITERAL, OURS, GUARDED, WITHOUT, TWO)}
INTO_ONE: Final = "single posts, ours, all into one conversation"
INTO_MANY: Final = "single posts, ours, into 1,024 conversations"
MIXED: Final = "a post for each page of 100, ours"
ALONE: Final = "single posts, ours, one caller"
PGBENCH: Final = "single rows, pgbench"
PGBENCH_ALONE: Final = "single rows, pgbench, one caller"
BATCHES: Final = "messages in batches of 500, ours"
PGBENCH_BATCHES: Final = "rows in batches of 500, pgbench"
SMALL_BATCHES: Final = "messages in batches of 20, ours"
EVENTS: Final = "events in batches of 20, ours"
PAGES: Final = {name: f"pages of 100, {name}" for name in (LITERAL, OURS, TWO)}
PGBENCH_PAGES: Final = "pages of 100, pgbench"
UNCHANGED: Final = "pages of 100 that the caller has, ours"
PAGES_OF_ONE: Final = "pages of 1, ours"
CONVERSATION: Final = "one conversation, ours"

_API: Final = "/api/v1"
_PAGE: Final = f"{_API}/conversations/{READ}/messages?limit={PAGE}"
_POSTS: Final = 15_000  # made for each second of a trial, so that no caller runs dry
_BATCHES: Final = 200
_BATCH_CALLERS: Final = 4
_SMALL_BATCH: Final = 20
_SMALL_BATCHES: Final = 2_000
_SAID: Final = "Could you move the dentist to Thursday at nine and tell Minh about it?"
# What Deepgram sends of one turn; two of the events become messages.
_TURN: Final = [
    '{"type":"UserStartedSpeaking"}',
    f'{{"type":"ConversationText","role":"user","content":"{_SAID}","languages":["en"]}}',
    '{"type":"AgentStartedSpeaking","total_latency":0.9,"tts_latency":0.3,"ttt_latency":0.5}',
    f'{{"type":"ConversationText","role":"assistant","content":"{_SAID}"}}',
    '{"type":"AgentAudioDone"}',
]
_MESSAGES_OF_TURN: Final = 2
_CONVERSATION: Final = f"('{str(CONVERSATIONS[0])[:-2]}' || lpad(to_hex(:client_id::int), 2, '0'))::uuid"
_ROW: Final = f"('user', '{_SAID}', 'voice', '{{\"languages\": [\"en\"]}}'::jsonb)"
_SELECT: Final = f"""
    SELECT id, conversation_id, role, content, input_modality, metadata, created_at FROM messages
    WHERE conversation_id = '{READ}' ORDER BY created_at LIMIT {PAGE}
"""


@dataclass(frozen=True)
class Trial:
    """Something that is measured: ``run`` takes the seconds it may last.

    ``pid`` is the process of the service, if there is one. ``stored`` says how many messages ``database`` holds then.
    """

    run: Callable[[float], Measurement]
    pid: int | None = None
    database: Database | None = None
    stored: Callable[[Measurement], int] = lambda measurement: measurement.count


def measure(trial: Trial, stage: Stage, seconds: float) -> Measurement:
    """Run ``trial`` for ``seconds``, and return what it saw, with the processor time that it took."""
    before = processor_seconds(trial.pid), processor_seconds(stage.postgres)
    found = trial.run(seconds)
    found.service = processor_seconds(trial.pid) - before[0]
    found.postgres = processor_seconds(stage.postgres) - before[1]
    return found


def trials(stage: Stage, folder: Path) -> dict[str, Trial]:
    """Return everything there is to measure, by name."""
    ours = stage.our_database

    def on(
        service: str, requests: Callable[[float], Sequence[Iterable[bytes]]], database: Database | None = None
    ) -> Trial:
        found = stage.services[service]
        return Trial(
            lambda seconds: load(found.address, requests(seconds), seconds=seconds), found.process.pid, database
        )

    def batched(items: int, requests: Callable[[str, float], Sequence[Iterable[bytes]]]) -> Trial:
        service = stage.services[OURS]

        def run(seconds: float) -> Measurement:
            found = load(service.address, requests(service.address, seconds), seconds=seconds)
            found.items = items
            return found

        return Trial(run, service.process.pid, ours)

    again = [repeat(post("/voice/messages", _message(each))) for each in CONVERSATIONS[:CALLERS]]
    found = {
        POSTS[RAW_ECHO]: on(RAW_ECHO, lambda _: again),
        POSTS[ECHO]: on(ECHO, lambda _: again),
        POSTS[LITERAL]: on(LITERAL, lambda seconds: _posts("", seconds), stage.literal_database),
        POSTS[OURS]: on(OURS, lambda seconds: _posts(_API, seconds), ours),
        POSTS[GUARDED]: on(GUARDED, lambda seconds: _posts(_API, seconds, token=token(OWNER)), ours),
        POSTS[WITHOUT]: on(WITHOUT, lambda seconds: _posts(_API, 2 * seconds)),
        # Each worker has some of the connections, so the callers of the one with few need more.
        POSTS[TWO]: on(TWO, lambda seconds: _posts(_API, 3 * seconds), ours),
        INTO_ONE: on(OURS, lambda seconds: _posts(_API, seconds, into=1), ours),
        ALONE: on(OURS, lambda seconds: _posts(_API, seconds, callers=1), ours),
        INTO_MANY: on(OURS, lambda seconds: _posts(_API, seconds, into=len(CONVERSATIONS)), ours),
        BATCHES: batched(BATCH, lambda _, seconds: _batches(BATCH, round(_BATCHES * seconds))),
        SMALL_BATCHES: batched(
            _SMALL_BATCH, lambda _, seconds: _batches(_SMALL_BATCH, round(_SMALL_BATCHES * seconds))
        ),
        EVENTS: replace(
            batched(_SMALL_BATCH, lambda address, seconds: _events(address, round(_SMALL_BATCHES * seconds))),
            stored=lambda measurement: measurement.count * _MESSAGES_OF_TURN // len(_TURN),
        ),
        PAGES[LITERAL]: on(LITERAL, lambda _: _reads(f"/conversations/{READ}/messages?limit={PAGE}")),
        PAGES[OURS]: on(OURS, lambda _: _reads(_PAGE)),
        PAGES[TWO]: on(TWO, lambda _: _reads(_PAGE)),
        UNCHANGED: on(OURS, lambda _: _conditional(stage.services[OURS].address, _PAGE)),
        PAGES_OF_ONE: on(OURS, lambda _: _reads(f"{_API}/conversations/{READ}/messages?limit=1")),
        CONVERSATION: on(OURS, lambda _: _reads(f"{_API}/conversations/{READ}")),
        MIXED: replace(on(OURS, _mixed, ours), stored=lambda measurement: measurement.statuses[201]),
    }
    if pgbench := find_postgres_tool("pgbench"):
        bare = _Pgbench(pgbench, stage.bare_database, folder)
        found |= {
            PGBENCH: Trial(lambda seconds: bare.run(_insert(1), seconds), None, stage.bare_database),
            PGBENCH_ALONE: Trial(lambda seconds: bare.run(_insert(1), seconds, 1), None, stage.bare_database),
            PGBENCH_BATCHES: Trial(
                lambda seconds: bare.run(_insert(BATCH), seconds, _BATCH_CALLERS, BATCH), None, stage.bare_database
            ),
            PGBENCH_PAGES: Trial(lambda seconds: bare.run(_SELECT, seconds)),
        }
    return found


def _insert(rows: int) -> str:
    # pgbench takes at most 255 parameters, so the conversation stands there once.
    return (
        "INSERT INTO messages (conversation_id, role, content, input_modality, metadata) "
        f"SELECT id, spoken.* FROM (SELECT {_CONVERSATION} AS id) AS one, (VALUES {', '.join([_ROW] * rows)}) AS spoken"
    )


def _posts(
    api: str, seconds: float, *, callers: int = CALLERS, into: int = CALLERS, token: str | None = None
) -> list[list[bytes]]:
    each = round(_POSTS * seconds / callers)
    return [
        [
            post(f"{api}/voice/messages", _message(CONVERSATIONS[(caller + callers * turn) % into]), token=token)
            for turn in range(each)
        ]
        for caller in range(callers)
    ]


def _batches(size: int, count: int) -> list[list[bytes]]:
    return [
        [post(f"{_API}/voice/messages/batch", _batch(conversation, size)) for _ in range(count // _BATCH_CALLERS)]
        for conversation in CONVERSATIONS[:_BATCH_CALLERS]
    ]


def _events(address: str, count: int) -> list[list[bytes]]:
    """Return the requests of phones, each in a call of its own, which hears eight events a second."""
    begun = datetime.now(UTC) - timedelta(hours=2)
    return [
        [
            post(f"{_API}/voice/sessions/{session}/events", _event_batch(begun, batch * _SMALL_BATCH))
            for batch in range(count // _BATCH_CALLERS)
        ]
        for session in [_begin(address) for _ in range(_BATCH_CALLERS)]
    ]


def _begin(address: str) -> str:
    request = Request(f"{address}{_API}/voice/sessions", b"{}", {"content-type": "application/json"})
    with urlopen(request) as response:
        return str(json.load(response)["id"])


def _event_batch(begun: datetime, start: int) -> bytes:
    events = [
        f'{{"event":{_TURN[number % len(_TURN)]},"client_sequence":{number + 1},'
        f'"received_at":"{(begun + number * timedelta(milliseconds=125)).isoformat()}"}}'
        for number in range(start, start + _SMALL_BATCH)
    ]
    return f'{{"events":[{",".join(events)}]}}'.encode()


def _reads(path: str) -> list[Iterable[bytes]]:
    return [repeat(get(path)) for _ in range(CALLERS)]


def _conditional(address: str, path: str) -> list[Iterable[bytes]]:
    with urlopen(f"{address}{path}") as response:
        return [repeat(get(path, unless=response.headers["etag"])) for _ in range(CALLERS)]


def _mixed(seconds: float) -> list[Iterable[bytes]]:
    [page, *_] = _reads(_PAGE)
    return [(each for pair in zip(posts, page) for each in pair) for posts in _posts(_API, seconds)]  # noqa: B905


def _batch(conversation: UUID, size: int) -> bytes:
    return b'{"messages":[' + b",".join(_message(conversation) for _ in range(size)) + b"]}"


def _message(conversation: UUID) -> bytes:
    return (
        f'{{"id":"{uuid4()}","conversation_id":"{conversation}","role":"user","content":"{_SAID}",'
        f'"input_modality":"voice","metadata":{{"languages":["en"]}}}}'
    ).encode()


@dataclass(frozen=True)
class _Pgbench:
    """PostgreSQL's own client, which sends the same prepared statement from as many connections."""

    program: Path
    database: Database
    folder: Path

    def run(self, statement: str, seconds: float, clients: int = CALLERS, items: int = 1) -> Measurement:
        script, duration = self.folder / "script.sql", round(seconds) or 1
        script.write_text(statement.replace("\n", " "))
        options = ["-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(duration), "-l"]
        report = subprocess.run(
            [self.program, *options, "-f", script],
            cwd=self.folder,
            env=os.environ | self.database.environment(),
            check=True,
            capture_output=True,
            text=True,
            timeout=duration + 30,
        ).stdout
        rate = re.search(r"^tps = ([\d.]+)", report, re.MULTILINE)
        assert rate, report
        measurement = Measurement(items=items)
        for log in self.folder.glob("pgbench_log.*"):
            measurement.latencies += [int(line.split()[2]) / 1e6 for line in log.read_text().splitlines()]
            log.unlink()
        measurement.seconds = len(measurement.latencies) / float(rate[1])
        return measurement
