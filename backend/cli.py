"""The command line: a sentence for everything that can go wrong, and no traceback for what an operator can mend."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console

from backend import replay as recordings
from backend import server
from backend.dao_service import adoption, migrator
from backend.dao_service.database import Database
from backend.dao_service.embedded import EmbeddedPostgres
from backend.errors import RecordError, SettingsError, SetupError
from backend.schemas.transcript import TranscriptFormat, write
from backend.services import health, transcripts
from backend.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Verbatim, the durable record of voice conversations.",
)
console = Console(highlight=False, markup=False)
complaints = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

FAILED: Final = 1
USAGE: Final = 2

Wait = Annotated[float, typer.Option(help="Seconds to wait for a database that is not up yet.", min=0)]


def main() -> None:
    """Run one command; exit with 0, 1 when it failed, or 2 when it was called or set up wrongly."""
    try:
        app()
    except (SetupError, RecordError) as error:
        complaints.print(f"verbatim: {error}", style="red")
        sys.exit(USAGE if isinstance(error, SettingsError) else FAILED)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve.", min=1)] = None,
    wait: Wait = 0,
) -> None:
    """Serve the API. Without DATABASE_URL it brings up, migrates and stops a PostgreSQL of its own."""
    server.leave_in_order()
    settings = Settings.from_environment()
    listener = server.listen(host or settings.host, settings.port if port is None else port)
    with listener, _database(settings, serving=True) as url:
        _ready(url, wait, ours=settings.database_url is None)
        os.environ["DATABASE_URL"] = url
        console.print(server.greeting(listener), soft_wrap=True)
        server.run(listener, workers or settings.workers, shutdown_timeout=settings.shutdown_timeout)


@app.command()
def migrate(
    to: Annotated[str, typer.Option(help="The revision to stop at; an older one takes the newer steps back.")] = "head",
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL for a DBA instead of running it.")] = False,
    wait: Wait = 0,
) -> None:
    """Bring the database's schema up to date, without stopping its writers."""
    if sql:
        sys.stdout.write(migrator.sql(to))
        return
    settings = Settings.from_environment()
    with _database(settings) as url:
        before = _reach(url, wait)
        if before is not None and (to == "base" or to < before):
            migrator.downgrade(url, to)
        else:
            migrator.upgrade(url, to)
        after = migrator.current(url)
    went = f"went from {before or 'nothing'} to {after or 'nothing'}" if before != after else f"is at {after}"
    console.print(f"The schema {went}.")


@app.command()
def adopt(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before anything is changed.")] = False,
    wait: Wait = 0,
) -> None:
    """Take a host application's database as it is: say what is missing, add it without stopping writers, stamp."""
    settings = Settings.from_environment()
    with _database(settings) as url:
        _reach(url, wait)
        survey = adoption.survey(url)
        _tell(survey)
        if survey.blockers:
            raise SetupError("The database cannot be adopted as it is; nothing was changed.")
        if survey.steps and not yes and not typer.confirm("Go on?"):
            raise SetupError("Nothing was changed.")
        migrator.upgrade(url)
        console.print(f"The schema is at {migrator.current(url)}.", style="green")


@app.command()
def check(wait: Wait = 0) -> None:
    """Look at settings, schema and durability; a sentence for each fault."""
    settings = Settings.from_environment()
    with _database(settings) as url:
        _reach(url, wait)
        faults = [*asyncio.run(_health(url)), *(f"The schema has drifted: {line}." for line in migrator.drift(url))]
    for fault in faults:
        complaints.print(f"✗ {fault}", style="red")
    if faults:
        raise typer.Exit(FAILED)
    console.print("✓ Settings, schema and durability are in order.", style="green")


@app.command()
def show(
    conversation: Annotated[UUID, typer.Argument(help="The conversation's id.")],
    form: Annotated[TranscriptFormat, typer.Option("--format", help="How to write it.")] = TranscriptFormat.TEXT,
) -> None:
    """Print what was said in a conversation."""
    settings = Settings.from_environment()
    with _database(settings) as url:
        asyncio.run(_print(url, conversation, form))


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Dialogues, one a line: JSON Lines, or gzip of them.")],
    url: Annotated[str, typer.Option(help="The service to replay into.")] = "http://127.0.0.1:8000",
    concurrency: Annotated[int, typer.Option(help="Dialogues to send at the same time.", min=1, max=1000)] = 8,
    patience: Annotated[float, typer.Option(help="Seconds without an answer before it gives up.", min=0)] = 60,
) -> None:
    """Put recorded event streams on record; a second run changes nothing."""
    tally = asyncio.run(recordings.replay(file, url, concurrency=concurrency, patience=patience))
    console.print(str(tally), soft_wrap=True)
    if tally.trouble:
        raise SetupError(tally.trouble)
    if not tally.complete:
        raise typer.Exit(FAILED)


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
    if survey.complete:
        stamped = survey.revision == migrator.head()
        console.print("Everything is there." if stamped else "Everything is there; only the stamp is missing.")


@contextmanager
def _database(settings: Settings, *, serving: bool = False) -> Iterator[str]:
    """Give the URL of the database: the configured one, or our own for as long as it is needed."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir) as postgres:
        if serving and postgres.shared:
            complaints.print(f"Sharing the PostgreSQL of process {postgres.owner_pid} in {settings.data_dir}.")
        yield postgres.url


def _reach(url: str, wait: float) -> str | None:
    """Return the schema's revision, as soon as the database answers within ``wait`` seconds."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return migrator.current(url)
        except SetupError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.25)


def _ready(url: str, wait: float, *, ours: bool) -> None:
    revision, wanted = _reach(url, wait), migrator.head()
    if revision == wanted:
        return
    if not ours:
        raise SetupError(
            f"The database's schema is at {revision or 'nothing yet'}, this version needs {wanted}: run "
            "`verbatim migrate`, or `verbatim adopt` where a host application's tables are."
        )
    migrator.upgrade(url)


async def _health(url: str) -> list[str]:
    database = Database(url)
    try:
        return await health.faults(database, migrator.head())
    finally:
        await database.close()


async def _print(url: str, conversation_id: UUID, form: TranscriptFormat) -> None:
    database = Database(url)
    try:
        parts = transcripts.transcript(database, conversation_id)
        async for piece in write(form, conversation_id, await anext(parts), parts):
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()
    finally:
        await database.close()
