"""Commands for whoever runs the service: serve, migrate, adopt, check."""

import asyncio
import os
import sys
from typing import Annotated

import typer

from backend import server
from backend.cli.access import database_url, make_ready, reach, with_database
from backend.cli.terminal import FAILED, Wait, complaints, console
from backend.errors import SettingsError, SetupError
from backend.http_limits import HttpLimits
from backend.migrations import adoption, runner
from backend.migrations.downgrade_losses import losses
from backend.observability import logs
from backend.services import health
from backend.settings import Settings
from backend.shutdown import STOP


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve.", min=1)] = None,
    wait: Wait = 0,
) -> None:
    """Serve the API. Without DATABASE_URL it brings up, migrates and stops a PostgreSQL of its own."""
    STOP.interrupt()
    settings = Settings.from_environment()
    address = settings.host if host is None else host
    local_only = settings.auth_issuers is None
    if local_only and not server.is_loopback(address):
        raise SettingsError(
            f"Whoever reaches {address or 'every address'} could read and write everything, because nothing is "
            "configured to tell callers apart: set VERBATIM_AUTH_ISSUERS (`[]` for service tokens alone), or listen "
            "on 127.0.0.1."
        )
    listener = server.listen(address, settings.port if port is None else port)
    with listener, database_url(settings, serving=True) as url:
        make_ready(url, wait, ours=settings.database_url is None)
        os.environ.setdefault("DATABASE_URL", url)
        complaints.print(server.greeting(listener, local_only=local_only))  # standard output is the log's
        logs.configure(settings.log_level)
        server.run(
            listener,
            workers or settings.workers,
            _limits(settings),
            shutdown_timeout=settings.shutdown_timeout,
            keep_alive_timeout=settings.keep_alive_timeout,
        )


def migrate(
    to: Annotated[str, typer.Option(help="The revision to stop at; an older one takes the newer steps back.")] = "head",
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for a DBA instead of running it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Go back to an older revision although that loses rows.")] = False,
    wait: Wait = 0,
) -> None:
    """Bring the database's schema up to date, without stopping its writers."""
    if sql:
        sys.stdout.write(runner.sql(to))
        return
    settings = Settings.from_environment()
    with database_url(settings) as url:
        before = reach(url, wait)
        if before is not None and (to == "base" or to < before):
            _go_back(url, to, yes=yes)
        else:
            runner.upgrade(url, to)
        after = runner.current(url)
    went = f"went from {before or 'nothing'} to {after or 'nothing'}" if before != after else f"is at {after}"
    console.print(f"The schema {went}.")


def _go_back(url: str, to: str, *, yes: bool) -> None:
    lost = [] if yes else losses(url, to)
    if lost:
        raise SetupError(
            f"Going back to {to} loses {', '.join(lost)}, for good; nothing was changed. Say --yes if that is wanted."
        )
    runner.downgrade(url, to)


def adopt(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before anything is changed.")] = False,
    wait: Wait = 0,
) -> None:
    """Take a host application's database as it is: say what is missing, add it without stopping writers, stamp."""
    settings = Settings.from_environment()
    with database_url(settings) as url:
        reach(url, wait)
        survey = adoption.survey(url)
        _tell(survey)
        if survey.blockers:
            raise SetupError("The database cannot be adopted as it is; nothing was changed.")
        if survey.steps and not yes and not typer.confirm("Go on?"):
            raise SetupError("Nothing was changed.")
        adoption.complete(url, survey)
        console.print(f"The schema is at {runner.current(url)}.", style="green")


def check(wait: Wait = 0) -> None:
    """Look at settings, schema and durability: a sentence for each fault, and what an acknowledged message survives."""
    settings = Settings.from_environment()
    with database_url(settings) as url:
        reach(url, wait)
        served, direct = settings.database_url or url, settings.past_the_pooler
        found = asyncio.run(with_database(served, lambda each: health.look(each, runner.head()), direct=direct))
        drift = runner.drift(url) if found.tried else []
        faults = [*found.faults, *(f"The schema has drifted: {line}." for line in drift)]
    if found.promise:
        console.print(found.promise, soft_wrap=True)
    for fault in faults:
        complaints.print(f"✗ {fault}", style="red")
    if faults:
        raise typer.Exit(FAILED)
    console.print("✓ Settings, schema and durability are in order.", style="green")


def _limits(settings: Settings) -> HttpLimits:
    share = settings.connections_per_address or settings.connections // 4
    return HttpLimits(
        connections=settings.connections,
        connections_per_address=min(share, settings.connections),
        trusted_proxies=settings.trusted_proxies,
    )


def _tell(survey: adoption.Survey) -> None:
    for title, style, sentences in (
        ("In the way", "red", survey.blockers),
        ("To know", "yellow", survey.warnings),
        ("To be added", "cyan", survey.steps),
    ):
        if sentences:
            console.print(f"{title}:", style=style)
        for sentence in sentences:
            console.print(f"  • {sentence}", soft_wrap=True)
    for text in survey.advice:
        console.print(f"{text}\n", soft_wrap=True)
    if survey.complete:
        stamped = survey.revision == runner.head()
        console.print("Everything is there." if stamped else "Everything is there; only the stamp is missing.")
