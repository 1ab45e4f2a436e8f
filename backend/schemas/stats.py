"""Request and response models of the figures of a period; `docs/figures.md` defines each figure."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.errors import Fault, Invalid
from backend.schemas.fields import Instant
from backend.vocabulary import ContextType, Source

MOST_BUCKETS: Final = 400
DEFAULT_PERIOD: Final = timedelta(days=1)
_DEFAULT_BUCKETS: Final = 100  # at most, where the request names no width
_ORIGIN: Final = datetime(2001, 1, 1, tzinfo=UTC)  # a Monday


class Width(StrEnum):
    """The width of a bucket, as a duration of ISO 8601. Buckets begin at multiples of it in UTC; weeks on Mondays."""

    MINUTE = "PT1M"
    FIVE_MINUTES = "PT5M"
    QUARTER = "PT15M"
    HOUR = "PT1H"
    SIX_HOURS = "PT6H"
    DAY = "P1D"
    WEEK = "P7D"

    @property
    def duration(self) -> timedelta:
        """The width itself."""
        return _DURATIONS[self]

    def begin(self, moment: datetime) -> datetime:
        """Return the beginning of the bucket in which ``moment`` lies."""
        return moment - (moment - _ORIGIN) % self.duration

    def buckets(self, since: datetime, until: datetime) -> int:
        """Return how many buckets the time from ``since`` (inclusive) to ``until`` (exclusive) touches."""
        return -((self.begin(since) - until) // self.duration)


_DURATIONS: Final = {
    Width.MINUTE: timedelta(minutes=1),
    Width.FIVE_MINUTES: timedelta(minutes=5),
    Width.QUARTER: timedelta(minutes=15),
    Width.HOUR: timedelta(hours=1),
    Width.SIX_HOURS: timedelta(hours=6),
    Width.DAY: timedelta(days=1),
    Width.WEEK: timedelta(days=7),
}


class StatsQuery(BaseModel):
    """The query parameters of the figures of a period."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Instant | None = Field(default=None, description="From this time on; by default a day before `until`.")
    until: Instant | None = Field(default=None, description="Before this time; by default now.")
    bucket: Width | None = Field(
        default=None,
        description=f"The width of a bucket; by default the smallest of which at most {_DEFAULT_BUCKETS} are needed. "
        f"An answer has at most {MOST_BUCKETS}.",
    )
    context_type: ContextType | None = None
    source: Source | None = Field(default=None, description="Only what this has recorded.")

    def period(self, now: datetime) -> tuple[datetime, datetime, Width]:
        """Return from when (inclusive) to when (exclusive) to count, and the width of a bucket.

        Raises Invalid for a period that is empty, or has more than MOST_BUCKETS buckets.
        """
        until = (self.until or now).astimezone(UTC)
        since = (self.since or until - DEFAULT_PERIOD).astimezone(UTC)
        if since >= until:
            raise Invalid([Fault("/query/since", "must be before `until`, which is now if it is left out")])
        wanted = self.bucket or _smallest(since, until, _DEFAULT_BUCKETS) or Width.WEEK
        if wanted.buckets(since, until) > MOST_BUCKETS:
            fitting = _smallest(since, until, MOST_BUCKETS)
            advice = f"the smallest that fits is {fitting}" if fitting else f"ask for at most {MOST_BUCKETS} weeks"
            raise Invalid([Fault("/query/bucket", f"makes more than {MOST_BUCKETS} buckets of this period; {advice}")])
        return since, until, wanted


def _smallest(since: datetime, until: datetime, most: int) -> Width | None:
    """Return the smallest width of which at most ``most`` buckets cover the period, or None."""
    return next((width for width in Width if width.buckets(since, until) <= most), None)


class Percentiles(BaseModel):
    """Percentiles of latencies in milliseconds, each one of the latencies; null if ``count`` is 0."""

    count: int
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None


class LatencyFigures(BaseModel):
    """The latencies of answers: from the end of the user's speech to the beginning of the answer, and its stages."""

    total: Percentiles
    stt: Percentiles = Field(description="Speech recognition.")
    llm: Percentiles = Field(description="The language model.")
    tts: Percentiles = Field(description="Speech synthesis.")


class Figures(BaseModel):
    """What happened in a period."""

    calls: int = Field(description="Conversations that were created.")
    minutes: float = Field(description="Their lengths together; a call that goes on counts 0.")
    abandoned: int = Field(description="Those whose end the service presumed, because the phone was silent.")
    incomplete: int = Field(description="Those that have ended with a receipt that is not complete.")
    intents: dict[str, int] = Field(description="The number of those with an intent, by intent.")
    turns: int = Field(description="How often a speaker began to speak after the other, or first.")
    interruptions: int = Field(description="Answers that the user interrupted.")
    incidents: dict[str, int] = Field(description="The number of incidents, by type.")
    latency_ms: LatencyFigures


class Bucket(Figures):
    """The figures of one bucket."""

    start: datetime = Field(description="Inclusive; the bucket ends where the next one starts.")


class HistogramPart(BaseModel):
    """How many answers had a total latency from ``from_ms`` (inclusive) to ``to_ms`` (exclusive; null is no bound)."""

    from_ms: float
    to_ms: float | None
    count: int


class StageLatencies(BaseModel):
    """The latencies of an answer in milliseconds, each null if it is unknown."""

    stt: float | None
    llm: float | None
    tts: float | None


class SlowAnswer(BaseModel):
    """One of the slowest answers of the period."""

    conversation_id: UUID
    message_id: UUID
    at: datetime = Field(description="When it was said: the message's `timestamp`.")
    ms: float = Field(description="The total latency.")
    stages: StageLatencies


_NONE: Final[dict[str, JsonValue]] = {"count": 0, "p50": None, "p90": None, "p95": None, "p99": None}
_SOME: Final[dict[str, JsonValue]] = {"count": 7, "p50": 780.0, "p90": 1410.0, "p95": 1410.0, "p99": 1410.0}
_FIGURES: Final[dict[str, JsonValue]] = {
    "calls": 1,
    "minutes": 3.5,
    "abandoned": 0,
    "incomplete": 0,
    "intents": {"NEW_TASK": 1},
    "turns": 14,
    "interruptions": 1,
    "incidents": {"Warning": 1},
    "latency_ms": {"total": _SOME, "stt": _NONE, "llm": _SOME, "tts": _NONE},
}


class Stats(BaseModel):
    """The figures of a period: in all, and by buckets, of which each is there, also where nothing happened."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "since": "2026-01-31T09:00:00Z",
                    "until": "2026-01-31T10:00:00Z",
                    "bucket": "PT1H",
                    "computed_at": "2026-01-31T10:00:03.120355Z",
                    "total": _FIGURES,
                    "buckets": [{"start": "2026-01-31T09:00:00Z", **_FIGURES}],
                    "histogram": [{"from_ms": 630.0, "to_ms": 800.0, "count": 7}],
                    "slowest": [
                        {
                            "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                            "message_id": "019ab5c0-4444-7000-8000-000000000004",
                            "at": "2026-01-31T09:30:02.250Z",
                            "ms": 1410.0,
                            "stages": {"stt": 90.0, "llm": 1100.0, "tts": 180.0},
                        }
                    ],
                }
            ]
        }
    )

    since: datetime
    until: datetime
    bucket: Width
    computed_at: datetime = Field(description="The figures may be up to a minute old.")
    total: Figures
    buckets: list[Bucket]
    histogram: list[HistogramPart] = Field(
        description="By total latency: ten parts for each power of ten, from the first that is not empty to the last."
    )
    slowest: list[SlowAnswer] = Field(description="The 20 with the largest total latency, the slowest first.")
