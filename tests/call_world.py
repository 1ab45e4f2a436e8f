"""Calls made up at random, put on record as phones, pipelines and other programs do, and their figures by plain Python.

The figures here are computed from what was made up, by loops and sorting; nothing of the service's SQL is used.
"""

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import asyncpg

OWNERS: Final = ("minh", "lan", None)
SOURCES: Final = ("deepgram", "pipecat", "livekit", None, "a program of the host's")
STAGES: Final = ("total", "stt", "llm", "tts")
INCIDENTS: Final = ("Error", "Warning", "InjectionRefused", "FrustrationDetected")
PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
MOST_BUCKETS: Final = 400
MONDAY: Final = datetime(2024, 1, 1, tzinfo=UTC)
WIDTHS: Final = {
    "PT1M": timedelta(minutes=1),
    "PT5M": timedelta(minutes=5),
    "PT15M": timedelta(minutes=15),
    "PT1H": timedelta(hours=1),
    "PT6H": timedelta(hours=6),
    "P1D": timedelta(days=1),
    "P7D": timedelta(days=7),
}
Latencies = tuple[float | None, float | None, float | None, float | None]
UNKNOWN: Final[Latencies] = (None, None, None, None)


@dataclass
class Said:
    """A message; ``latencies`` are those that a reader of ``metadata`` must find, in milliseconds."""

    id: UUID
    role: str
    at: datetime
    metadata: dict[str, Any]
    latencies: Latencies = UNKNOWN
    session: int | None = None
    number: int | None = None
    content: str = "Could you move the dentist to Thursday?"

    @property
    def speaks(self) -> bool:
        return self.role in {"user", "assistant"} and self.metadata.get("behavior") not in {"backchannel", "filler"}

    @property
    def is_answer(self) -> bool:
        return self.role == "assistant"

    @property
    def source(self) -> str:
        return named(self.metadata.get("provider"))


@dataclass
class Session:
    """A voice session: ``events`` are the numbers, types and times of what is no message."""

    id: str
    started_at: datetime
    ended_at: datetime | None
    reason: str | None
    last: int | None
    lost: int
    events: list[tuple[int | None, str, datetime]] = field(default_factory=list)


@dataclass
class Call:
    """A conversation, with all that happened in it."""

    id: UUID
    owner: str | None
    context_type: str
    created_at: datetime
    ended_at: datetime | None
    seconds: int | None
    intent: str | None
    sessions: list[Session]
    said: list[Said]

    @property
    def moments(self) -> list[datetime]:
        """When the call began, and when something of it was said or received."""
        received = [moment for session in self.sessions for _, _, moment in session.events]
        return [self.created_at, *(each.at for each in self.said), *received]

    @property
    def state(self) -> str:
        if self.ended_at is None:
            return "live"
        presumed = any(each.ended_at == self.ended_at and each.reason == "abandoned" for each in self.sessions)
        return "abandoned" if presumed else "ended"

    @property
    def missing(self) -> list[int]:
        return [self._missing(place, session) for place, session in enumerate(self.sessions)]

    @property
    def complete(self) -> bool:
        final = [session.ended_at is not None and session.reason != "abandoned" for session in self.sessions]
        return all(final) and not any(self.missing)

    @property
    def source(self) -> str:
        return "deepgram" if self.sessions else named(self.said[0].metadata.get("provider") if self.said else None)

    def _missing(self, place: int, session: Session) -> int:
        said = {each.number for each in self.said if each.session == place}
        arrived = (said | {number for number, _, _ in session.events}) - {None}
        return len({*range(1, max([session.last or 0, *filter(None, arrived)]) + 1)} - arrived) + session.lost


def named(provider: object) -> str:
    return str(provider) if provider in {"deepgram", "pipecat", "livekit"} else "posts"


def _milliseconds(chance: random.Random) -> int:
    return round(10 ** chance.uniform(0, 5.3))


def _today(chance: random.Random) -> tuple[dict[str, Any], Latencies]:
    total, stt, llm, tts = (_milliseconds(chance) if chance.random() < 0.8 else None for _ in STAGES)
    known = {"total_ms": total, "stt_ms": stt, "llm_ms": llm, "tts_ms": tts}
    return {"latency": {name: value for name, value in known.items() if value is not None}}, (total, stt, llm, tts)


def _early_deepgram(chance: random.Random) -> tuple[dict[str, Any], Latencies]:
    total, ttt, tts = (_milliseconds(chance) for _ in range(3))
    return {"latency": {"total_ms": total, "ttt_ms": ttt, "tts_ms": tts}}, (total, None, ttt, tts)


def _early_pipecat(chance: random.Random) -> tuple[dict[str, Any], Latencies]:
    total, stt, llm, tts = (_milliseconds(chance) for _ in STAGES)
    stages = {"DeepgramSTTService#0": stt, "OpenAILLMService#1": llm, "ElevenLabsTTSService#0": tts}
    return {"latency": {"user_to_bot_ms": total, "ttfb_ms": stages}}, (total, stt, llm, tts)


def _early_livekit(chance: random.Random) -> tuple[dict[str, Any], Latencies]:
    total, llm, tts = (chance.randrange(1, 16_000) for _ in range(3))  # in 1/8 ms, so that no unit rounds
    metrics = {"e2e_latency": total / 8000, "llm_node_ttft": llm / 8000, "tts_node_ttfb": tts / 8000}
    return {"metrics": metrics}, (total / 8, None, llm / 8, tts / 8)


def _nonsense(chance: random.Random) -> tuple[dict[str, Any], Latencies]:
    latency = chance.choice(
        [7, [], "soon", {"total_ms": -1}, {"total_ms": 86_400_001}, {"total_ms": True, "llm_ms": 1e307}]
    )
    return {"latency": latency, "metrics": {"e2e_latency": 1e306}}, UNKNOWN


SHAPES: Final[Sequence[Callable[[random.Random], tuple[dict[str, Any], Latencies]]]] = (
    _today,
    _early_deepgram,
    _early_pipecat,
    _early_livekit,
    _nonsense,
    lambda _: ({}, UNKNOWN),
)


def make_up(chance: random.Random, first: datetime, days: int, calls: int) -> list[Call]:
    """Return ``calls`` that begin in the ``days`` from ``first`` on; many things happen at full quarters of an hour."""
    return [_call(chance, first + chance.random() * timedelta(days=days)) for _ in range(calls)]


def _call(chance: random.Random, begun: datetime) -> Call:
    begun = _at_an_edge(chance, begun)
    sessions = [_session(chance, begun + timedelta(hours=place)) for place in range(chance.choice([0, 1, 1, 2]))]
    provider = "deepgram" if sessions else chance.choice(SOURCES)
    said = [_said(chance, begun, provider, sessions) for _ in range(chance.randrange(14))]
    last = sessions[-1].ended_at if sessions else begun + timedelta(minutes=chance.randrange(90))
    ended = None if any(each.ended_at is None for each in sessions) or chance.random() < 0.2 else last
    return Call(
        _uuid(chance),
        chance.choice(OWNERS),
        chance.choice(["voice", "task"]),
        begun,
        ended,
        chance.choice([None, chance.randrange(4000)]) if ended else None,
        chance.choice([None, "GOAL", "NEW_TASK"]),
        sessions,
        said,
    )


def _session(chance: random.Random, begun: datetime) -> Session:
    reason = chance.choice(["hangup", "abandoned", None, "still on"])
    ended = None if reason == "still on" else begun + timedelta(minutes=chance.randrange(1, 50))
    events = [
        (
            chance.choice([None, chance.randrange(1, 12)]),
            chance.choice([*INCIDENTS, "History", "AgentThinking"]),
            _at_an_edge(chance, begun + chance.random() * timedelta(hours=2)),
        )
        for _ in range(chance.randrange(10))
    ]
    last = chance.choice([None, 0, chance.randrange(20)])
    lost = chance.choice([0, 0, chance.randrange(3)])
    return Session(f"vs_{_uuid(chance).hex}", begun, ended, reason if ended else None, last, lost, events)


def _said(chance: random.Random, begun: datetime, provider: str | None, sessions: Sequence[Session]) -> Said:
    role = chance.choice(["user", "assistant", "assistant", "function", "system"])
    metadata: dict[str, Any] = {} if provider is None else {"provider": provider}
    shape, latencies = chance.choice(SHAPES)(chance)
    metadata |= shape
    if chance.random() < 0.3:
        metadata["behavior"] = chance.choice(["backchannel", "filler", "default", 7])
    if chance.random() < 0.3:
        metadata["interrupted"] = chance.choice([True, True, False, "true"])
    if role == "function":
        metadata |= chance.choice([{}, {"call_id": "call 1"}, {"call_id": "call 2"}])
    return Said(
        _uuid(chance),
        role,
        _at_an_edge(chance, begun + chance.random() * timedelta(hours=3)),
        metadata,
        latencies if role == "assistant" else UNKNOWN,
        session=chance.randrange(len(sessions)) if sessions else None,
        number=chance.choice([None, chance.randrange(1, 12)]) if sessions else None,
    )


def _at_an_edge(chance: random.Random, moment: datetime) -> datetime:
    since = (moment - MONDAY) % WIDTHS["PT15M"]
    return moment - since + chance.choice([since, timedelta(), timedelta(microseconds=-1)])


def _uuid(chance: random.Random) -> UUID:
    return UUID(int=chance.getrandbits(128), version=4)


async def put_on_record(connection: asyncpg.Connection, calls: Sequence[Call]) -> None:
    """Insert ``calls`` as they were made up; a message has the sequence that its place in ``said`` gives it."""
    await connection.executemany(
        "INSERT INTO conversations (id, user_id, context_type, created_at, ended_at, duration_seconds,"
        " extracted_intent) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        [
            (call.id, call.owner, call.context_type, call.created_at, call.ended_at, call.seconds, call.intent)
            for call in calls
        ],
    )
    await connection.executemany(
        "INSERT INTO voice_sessions (id, conversation_id, started_at, ended_at, end_reason, last_client_sequence,"
        " client_lost, provider) VALUES ($1, $2, $3, $4, $5, $6, $7, 'deepgram')",
        [
            (each.id, call.id, each.started_at, each.ended_at, each.reason, each.last, each.lost)
            for call in calls
            for each in call.sessions
        ],
    )
    await connection.executemany(
        "INSERT INTO voice_events (voice_session_id, id, type, client_sequence, after_sequence, received_at, detail)"
        " VALUES ($1, gen_random_uuid(), $2, $3, 0, $4, $5)",
        [
            (each.id, kind, number, received_at, "{}" if kind in INCIDENTS else None)
            for call in calls
            for each in call.sessions
            for number, kind, received_at in each.events
        ],
    )
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    await connection.executemany(
        'INSERT INTO messages (id, conversation_id, role, content, metadata, "timestamp", voice_session_id,'
        " client_sequence) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (
                *(each.id, call.id, each.role, each.content, each.metadata, each.at),
                None if each.session is None else call.sessions[each.session].id,
                each.number,
            )
            for call in calls
            for each in call.said
        ],
    )


def percentile(values: Iterable[float], share: float) -> float | None:
    """Return the smallest of ``values`` that is not exceeded by a ``share`` of them, None without any."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else None


def summary(call: Call) -> dict[str, Any]:
    """Return the summary of a call."""
    totals = [each.latencies[0] for each in call.said if each.latencies[0] is not None]
    functions = [each for each in call.said if each.role == "function"]
    early = sorted(enumerate(call.said), key=lambda each: (each[1].at, each[0]))[:20]
    words = [each.content for _, each in early if each.role == "user"]
    return {
        "state": call.state,
        "turns": turns(call, call.said)[1],
        "interruptions": sum(interrupted(each) for each in call.said),
        "functions": len({each.metadata.get("call_id", each.id) for each in functions}),
        "incidents": sum(kind in INCIDENTS for session in call.sessions for _, kind, _ in session.events),
        "latency_ms": {
            "p50": percentile(totals, 0.5),
            "p95": percentile(totals, 0.95),
            "max": max(totals, default=None),
            "count": len(totals),
        },
        "first_words": words[0][:100] if words else None,
        "receipts": {"complete": call.complete, "missing": sum(call.missing)} if call.sessions else None,
    }


def interrupted(said: Said) -> bool:
    return said.is_answer and said.metadata.get("interrupted") is True


def turns(call: Call, said: Sequence[Said]) -> tuple[list[Said], int]:
    """Return those of ``said`` with which a turn begins, and their number."""
    spoken = sorted((each for each in said if each.speaks), key=lambda each: (each.at, call.said.index(each)))
    begun = spoken[:1] + [after for before, after in pairwise(spoken) if before.role != after.role]
    return begun, len(begun)


def stats(
    calls: Iterable[Call],
    since: datetime,
    until: datetime,
    width: str,
    *,
    owner: str | None = None,
    context_type: str | None = None,
    source: str | None = None,
) -> dict[str, Any]:
    """Return the figures of a period, without the moment at which they were computed."""
    begin = since - (since - MONDAY) % WIDTHS[width]
    starts = [begin]
    while starts[-1] + WIDTHS[width] < until:
        starts.append(starts[-1] + WIDTHS[width])
    chosen = [call for call in calls if owner in (None, call.owner) and context_type in (None, call.context_type)]
    spans = [(max(start, since), min(start + WIDTHS[width], until)) for start in starts]
    answers = [
        (call, each)
        for call in chosen
        for each in call.said
        if since <= each.at < until and each.latencies[0] is not None and source in (None, each.source)
    ]
    answers.sort(key=lambda pair: (-(pair[1].latencies[0] or 0), pair[1].at, pair[1].id))
    return {
        "total": _figures(chosen, (since, until), (since, until), source),
        "buckets": [
            {"start": start, **_figures(chosen, span, (since, until), source)}
            for start, span in zip(starts, spans, strict=True)
        ],
        "slowest": [(str(call.id), str(each.id), each.at, *each.latencies) for call, each in answers[:20]],
        "latencies": [each.latencies[0] for _, each in answers],
    }


def _figures(
    calls: Sequence[Call], span: tuple[datetime, datetime], period: tuple[datetime, datetime], source: str | None
) -> dict[str, Any]:
    since, until = span
    begun = [call for call in calls if since <= call.created_at < until and source in (None, call.source)]
    said, turn_count, incidents = [], 0, Counter[str]()
    for call in calls:
        of_source = [each for each in call.said if source in (None, each.source)]
        in_period = [each for each in of_source if period[0] <= each.at < period[1]]
        turn_count += sum(since <= each.at < until for each in turns(call, in_period)[0])
        said += [each for each in in_period if since <= each.at < until]
        if source in (None, "deepgram"):
            incidents.update(
                kind
                for session in call.sessions
                for _, kind, received in session.events
                if kind in INCIDENTS and since <= received < until
            )
    return {
        "calls": len(begun),
        "minutes": round(sum(call.seconds or 0 for call in begun) / 60, 2),
        "abandoned": sum(call.state == "abandoned" for call in begun),
        "incomplete": sum(call.state != "live" and bool(call.sessions) and not call.complete for call in begun),
        "intents": dict(Counter(call.intent for call in begun if call.intent)),
        "turns": turn_count,
        "interruptions": sum(map(interrupted, said)),
        "incidents": dict(incidents),
        "latency_ms": {
            stage: _percentiles([known for each in said if (known := each.latencies[place]) is not None])
            for place, stage in enumerate(STAGES)
        },
    }


def _percentiles(values: Sequence[float]) -> dict[str, Any]:
    return {"count": len(values), **{name: percentile(values, share) for name, share in PERCENTILES.items()}}
