"""The command `verbatim stats`: the figures of a period, as a table or as JSON."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from backend.cli.access import run_with_database
from backend.cli.terminal import console
from backend.errors import Invalid
from backend.principal import LOCAL
from backend.schemas.stats import Figures, Stats, StatsQuery, Width
from backend.services.figures import PeriodFigures
from backend.vocabulary import ContextType, Source

_UNITS: Final[Mapping[str, timedelta]] = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_TITLES: Final = (
    *("from (UTC)", "calls", "minutes", "turns", "interruptions", "abandoned", "incomplete", "incidents"),
    *("answers", "p50 ms", "p90 ms", "p95 ms", "p99 ms"),
)
_HELP: Final = "a duration before now, such as 30m, 24h, 7d or 4w, or a time (in UTC, if it names no zone)."


def stats(  # noqa: PLR0913 -- each is one option
    *,
    since: Annotated[str, typer.Option(help=f"Count from then on (inclusive): {_HELP}")] = "24h",
    until: Annotated[str, typer.Option(help=f"Count until then (exclusive): {_HELP}")] = "0m",
    bucket: Annotated[
        Width | None, typer.Option(help="The time of a line; by default it depends on the period.")
    ] = None,
    context_type: Annotated[ContextType | None, typer.Option(help="Count only calls of this type.")] = None,
    source: Annotated[Source | None, typer.Option(help="Count only what this has recorded.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON of `GET /stats`.")] = False,
) -> None:
    """Print calls, turns, incidents and latencies over time; times at which nothing happened have no line."""
    now = datetime.now(UTC)
    limits = {"since": _moment(since, now), "until": _moment(until, now)}
    try:
        query = StatsQuery.model_validate(limits | {"bucket": bucket, "context_type": context_type, "source": source})
        found = run_with_database(lambda database: PeriodFigures(database).stats(LOCAL, query))
    except ValidationError:
        raise typer.BadParameter("a time lies outside the years 2 to 9998") from None
    except Invalid as error:
        raise typer.BadParameter("; ".join(f"{fault.pointer} {fault.detail}" for fault in error.faults)) from None
    if as_json:
        console.print(found.decode(), soft_wrap=True)
    else:
        for line in _lines(Stats.model_validate_json(found)):
            console.print(line, soft_wrap=True)


def _moment(text: str, now: datetime) -> str:
    """Return the time that ``text`` names as RFC 3339; raises BadParameter."""
    number, unit = text[:-1], text[-1:]
    try:
        if unit in _UNITS and number.isdecimal():
            return (now - int(number) * _UNITS[unit]).isoformat()
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "a time is neither a duration, such as 24h or 7d, nor such as 2026-01-31T09:30Z"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def _lines(found: Stats) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [_TITLES]
    rows += [_row(f"{each.start:%Y-%m-%d %H:%M}", each) for each in found.buckets if _has_any(each)]
    rows.append(_row("all", found.total))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        yield "  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])])
    for slow in found.slowest[:1]:
        yield (
            f"The slowest answer took {slow.ms:.0f} ms: message {slow.message_id} of conversation "
            f"{slow.conversation_id}, at {slow.at:%Y-%m-%d %H:%M:%S}."
        )


def _has_any(figures: Figures) -> bool:
    counted = figures.calls, figures.turns, figures.interruptions, figures.latency_ms.total.count
    return any(counted) or bool(figures.incidents)


def _row(name: str, figures: Figures) -> tuple[str, ...]:
    latency = figures.latency_ms.total
    numbers = figures.turns, figures.interruptions, figures.abandoned, figures.incomplete
    percentiles = (latency.p50, latency.p90, latency.p95, latency.p99)
    return (
        name,
        str(figures.calls),
        f"{figures.minutes:.1f}",
        *map(str, numbers),
        str(sum(figures.incidents.values())),
        str(latency.count),
        *("-" if value is None else f"{value:.0f}" for value in percentiles),
    )
