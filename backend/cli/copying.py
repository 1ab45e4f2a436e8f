"""Commands that copy a whole database, or take in another program's messages: backup, restore, move, import."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from backend.cli.access import database_url, run_with_database
from backend.cli.terminal import FAILED, console, stderr
from backend.dao_service.connection.database import Database
from backend.errors import SettingsError
from backend.migrations import runner
from backend.migrations.copies import Census, check_not_served, dump, restore
from backend.services import importing
from backend.services.appender import Appender
from backend.services.importing import Imported
from backend.settings import Settings

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The file of the backup; its census lies beside it.")]


def backup(file: _File) -> None:
    """Write the whole database to a file, while the service goes on; begin again if it was interrupted."""
    with database_url(Settings.from_environment()) as url:
        _print("Wrote", dump(url, file))


def restore_backup(file: _File) -> None:
    """Fill an empty database from a backup, compare the two, and migrate it; begin again if it was interrupted."""
    settings = Settings.from_environment()
    with database_url(settings) as url:
        census = restore(file, url)
        runner.upgrade(url)
    _print("Restored", census)


def move(to: Annotated[str, typer.Option(help="URL of the empty PostgreSQL database to move to.")]) -> None:
    """Move everything to another database, and compare the two; begin again if it was interrupted.

    Stop the service before, and start it afterwards with DATABASE_URL set to the new place.
    """
    settings = Settings.from_environment()
    if to == settings.database_url:
        raise SettingsError("--to is the database of DATABASE_URL.")
    with database_url(settings) as url, tempfile.TemporaryDirectory() as folder:
        check_not_served(url)
        file = Path(folder) / "verbatim.dump"
        dump(url, file)
        census = restore(file, to)
        runner.upgrade(to)
    _print("Moved", census)


def _print(done: str, census: Census) -> None:
    rows = {table.rpartition(".")[2]: count for table, (count, _) in census.items()}
    messages, conversations = rows.get("messages", 0), rows.get("conversations", 0)
    console.print(f"{done} {messages:,} messages of {conversations:,} conversations; both sides are equal.")


def import_table(
    table: Annotated[str, typer.Option(help="The table to read, such as conversation_message.")],
    url: Annotated[str, typer.Option(help="URL of the PostgreSQL database that has the table.")],
    subject: Annotated[
        str | None, typer.Option(help="The owner of the conversations that are new; without it none.")
    ] = None,
) -> None:
    """Import another program's messages: id, conversation_id, role, content, timestamp in UTC, metadata.

    A second run changes nothing. Rows that cannot be imported are named.
    """

    async def work(database: Database) -> Imported:
        appender = Appender(database)
        appender.start()
        try:
            return await importing.import_table(database, appender, url, table, subject)
        finally:
            await appender.close()

    done = run_with_database(work)
    for row, why in done.refused:
        stderr.print(f"✗ {row}: {why}", style="red")
    console.print(f"{done.new:,} new, {done.known:,} on record already, {len(done.refused):,} refused.")
    if done.refused:
        raise typer.Exit(FAILED)
