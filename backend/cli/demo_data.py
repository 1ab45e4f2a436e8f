"""The command that fills a database with demo data, to look at in the console."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.progress import Progress

from backend.cli.access import run_with_database
from backend.cli.terminal import console, stderr
from backend.dao_service.connection.database import Database
from backend.demo_data import week
from backend.demo_data.call import Call
from backend.demo_data.live import plan_live, play_live
from backend.demo_data.playing import fill
from backend.errors import SettingsError
from backend.services import demo_data as use_cases
from backend.settings import Settings
from backend.shutdown import STOP, on_shutdown
from verbatim_record.setup_error import SetupError


def demo_data(  # noqa: PLR0913 -- each is an option of the command
    seed: Annotated[int, typer.Option(help="Another seed gives other calls.")] = 1,
    days: Annotated[int, typer.Option(help="How many days the calls cover.", min=week.LEAST_DAYS, max=90)] = 7,
    calls: Annotated[
        int, typer.Option(help="How many calls there are.", min=week.LEAST_CALLS, max=90 * week.MOST_A_DAY)
    ] = 400,
    until: Annotated[
        datetime | None, typer.Option(help="The end of the period (UTC), by default now; not in the future.")
    ] = None,
    *,
    long_call: Annotated[bool, typer.Option("--long-call", help="Add a call of 5,000 messages.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Make a single call instead, now, at the pace of people, until Ctrl-C.")
    ] = False,
    into_existing: Annotated[
        bool, typer.Option("--into-existing", help="Accept a database that holds other conversations, too.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Remove all demo data instead, and nothing else.")] = False,
) -> None:
    """Fill a database with a believable week of calls, to look at; the same seed and end give the same calls."""
    if remove:
        removed = run_with_database(_remove)
        console.print(f"Removed {removed:,} conversations of demo data.")
        return
    settings = Settings.from_environment()
    if settings.orchestrator is not None:
        raise SettingsError(
            "Demo data holds deliveries, which the orchestrator at VERBATIM_ORCHESTRATOR_URL would receive: use a "
            "database without an orchestrator, and unset it."
        )
    if live:
        run_with_database(lambda database: _live(database, seed, into_existing=into_existing))
        return
    end = _end(until)
    planned = week.plan(seed, end, days, calls, with_long_call=long_call)
    silence = timedelta(seconds=settings.session_timeout)
    messages = run_with_database(lambda database: _fill(database, planned, silence, into_existing=into_existing))
    console.print(
        f"Recorded {len(planned):,} calls with {messages:,} messages, in the {days} days until {end:%Y-%m-%d %H:%M}Z.",
        f"`verbatim demo-data --remove` removes them. The console of a service that runs on this database is at "
        f"http://{settings.host}:{settings.port}/console/.",
        sep="\n",
        soft_wrap=True,
    )


def _end(until: datetime | None) -> datetime:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    end = until.replace(tzinfo=UTC) if until else now
    if end > now:
        raise typer.BadParameter("--until is in the future")
    return end


async def _fill(database: Database, calls: Sequence[Call], silence: timedelta, *, into_existing: bool) -> int:
    held = await _check(database, into_existing=into_existing)
    if held.demo:
        raise SetupError("The database holds demo data already: remove it with `verbatim demo-data --remove`.")
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        bar = progress.add_task("Recording calls", total=len(calls))
        return await fill(database, calls, silence, lambda: progress.advance(bar))


async def _live(database: Database, seed: int, *, into_existing: bool) -> None:
    await _check(database, into_existing=into_existing)
    call, ended = plan_live(seed, datetime.now(UTC)), asyncio.Event()
    STOP.note()
    with on_shutdown(ended.set):
        stderr.print("The call goes on until Ctrl-C. Its conversation:")
        console.print(str(call.id))
        receipt = await play_live(database, call, ended)
    console.print(f"Ended with {receipt.received:,} events and {receipt.last_sequence:,} messages.")


async def _check(database: Database, *, into_existing: bool) -> use_cases.Holdings:
    held = await use_cases.holdings(database)
    if held.has_others and not into_existing:
        raise SetupError(
            "The database holds other conversations, among which demo data would stand: use another database, such as "
            "with VERBATIM_DATA_DIR, or add --into-existing."
        )
    return held


async def _remove(database: Database) -> int:
    found = (await use_cases.holdings(database)).demo
    for conversation_id in found:
        await use_cases.remove(database, conversation_id)
    return len(found)
