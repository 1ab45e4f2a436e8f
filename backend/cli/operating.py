"""Commands for the operator of the database: migrate, adopt, distribute, check, reindex."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
import uvloop

from backend.cli.access import await_database, database_url, ensure_schema, run_with_database, with_database
from backend.cli.terminal import FAILED, Wait, console, stderr
from backend.dao_service.schema_revision import SCHEMA_REVISION, Stamp
from backend.migrations import access, adoption, distribution, runner
from backend.migrations.downgrade_losses import losses
from backend.services import audit, health, search_index
from backend.settings import Settings
from verbatim_record.setup_error import SetupError


def migrate(
    to: Annotated[str, typer.Option(help="The revision to migrate to; an older one is a downgrade.")] = "head",
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for a DBA instead of running it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Downgrade even if that deletes data.")] = False,
    allow_breaking: Annotated[
        bool, typer.Option("--allow-breaking", help="Migrate even if a running release cannot run on the new schema.")
    ] = False,
    wait: Wait = 0,
) -> None:
    """Migrate the database's schema to the newest revision, without blocking its writers."""
    if sql:
        sys.stdout.write(runner.sql(to))
        return
    settings = Settings.from_environment()
    with database_url(settings) as url:
        before = await_database(url, wait).revision
        if before is not None and (to == "base" or to < before):
            _downgrade(url, to, yes=yes)
        else:
            runner.upgrade(url, to, allow_breaking=allow_breaking)
        after = access.stamp(url)
    console.print(_outcome(before, after), soft_wrap=True)


def _outcome(before: str | None, after: Stamp) -> str:
    """Return what a migration has changed, and which releases run on the schema now."""
    if after.is_ahead_of(SCHEMA_REVISION):
        return _ahead(after) + " Nothing was changed."
    if before == after.revision:
        change = f"The schema is at {after.revision}."
    else:
        change = f"The schema was migrated from {before or 'nothing'} to {after.revision or 'nothing'}."
    runs = after.compatible_from
    return f"{change} Releases from revision {runs} on run on it." if runs else change


def _ahead(stamp: Stamp) -> str:
    return f"The schema is at {stamp.revision}, ahead of this release ({SCHEMA_REVISION}), which runs on it."


def _downgrade(url: str, to: str, *, yes: bool) -> None:
    lost = [] if yes else losses(url, to)
    if lost:
        raise SetupError(
            f"The downgrade to {to} would delete {', '.join(lost)} for good; nothing was changed. Add --yes to do it."
        )
    runner.downgrade(url, to)


def adopt(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    wait: Wait = 0,
) -> None:
    """Adopt a host application's database: list what is missing, then add it without blocking writers."""
    settings = Settings.from_environment()
    with database_url(settings) as url:
        await_database(url, wait)
        survey = adoption.survey(url)
        _print_survey(survey)
        if survey.blockers:
            raise SetupError("The database cannot be adopted as it is; nothing was changed.")
        if survey.steps and not yes and not typer.confirm("Go on?"):
            raise SetupError("Nothing was changed.")
        adoption.complete(url, survey)
        if survey.steps:
            uvloop.run(with_database(url, audit.note_adoption))
        console.print(f"The schema is at {runner.current(url)}.", style="green")


def distribute(
    shards: Annotated[
        int, typer.Option(help="The number of parts: twice the most nodes that there will ever be.", min=2, max=1024)
    ] = 16,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Spread the record over the nodes of a Citus cluster: list what is in the way and the steps, then take them."""
    settings = Settings.from_environment()
    if settings.database_url is None:
        raise SetupError("The embedded PostgreSQL is a single server; name the cluster's coordinator in DATABASE_URL.")
    with database_url(settings) as url:
        ensure_schema(url, 0, ours=False)
        found = distribution.survey(url, shards, searches=settings.search)
        for title, style, sentences in (("Blockers", "red", found.blockers), ("Steps", "cyan", found.steps)):
            _print_list(title, style, sentences)
        if found.blockers:
            raise SetupError("The database cannot be distributed as it is; nothing was changed.")
        console.print(
            f"About {found.messages:,} messages are copied, and writers wait for about {found.writers_wait:,.0f} s. "
            "Requests that wait for longer than their time-out get 503; clients send them again.",
            soft_wrap=True,
        )
        if not yes and not typer.confirm("Go on?"):
            raise SetupError("Nothing was changed.")
        distribution.distribute(url, shards, lambda step: console.print(f"{step.title} …", soft_wrap=True))
    console.print("The record is distributed.", style="green")


def check(wait: Wait = 0) -> None:
    """Check settings, schema and durability; print each fault, and what an acknowledged message survives."""
    settings = Settings.from_environment()
    with database_url(settings) as url:
        stamp = await_database(url, wait)
        served, direct = settings.database_url or url, settings.pooler_bypass_url
        found = asyncio.run(with_database(served, lambda each: health.check(each, SCHEMA_REVISION), direct=direct))
        ahead = stamp.is_ahead_of(SCHEMA_REVISION)
        # This release does not know a newer schema, and the migrations do not make the keys of a cluster.
        drift = runner.drift(url) if found.tried and not ahead and not found.is_cluster else []
        faults = [*found.faults, *(f"The schema differs from the migrations: {line}." for line in drift)]
    if found.promise:
        console.print(found.promise, soft_wrap=True)
    for fault in faults:
        stderr.print(f"✗ {fault}", style="red")
    if faults:
        raise typer.Exit(FAILED)
    if ahead:
        console.print(_ahead(stamp))
    console.print("✓ Settings, schema and durability are in order.", style="green")


def reindex() -> None:
    """Have the words of all messages made anew for search, by the running service; searches go on meanwhile."""
    run_with_database(search_index.rebuild)
    console.print("The search worker of the running service makes the words anew.")


def _print_list(title: str, style: str, sentences: Sequence[str]) -> None:
    if sentences:
        console.print(f"{title}:", style=style)
    for sentence in sentences:
        console.print(f"  • {sentence}", soft_wrap=True)


def _print_survey(survey: adoption.Survey) -> None:
    for title, style, sentences in (
        ("Blockers", "red", survey.blockers),
        ("Warnings", "yellow", survey.warnings),
        ("Steps", "cyan", survey.steps),
    ):
        _print_list(title, style, sentences)
    for text in survey.advice:
        console.print(f"{text}\n", soft_wrap=True)
    if survey.complete:
        stamped = survey.revision == SCHEMA_REVISION
        console.print(
            "Everything is there." if stamped else "Everything is there; only the revision is not stored yet."
        )
