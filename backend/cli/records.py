"""Commands that change the record: replay, erase."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from backend import replay as recordings
from backend.cli import spools
from backend.cli.access import run_with_database
from backend.cli.terminal import FAILED, console, stderr
from backend.dao_service.connection.database import Database
from backend.errors import ConversationNotFound, RecordError, SettingsError
from backend.http_client import secret
from backend.principal import LOCAL
from backend.services import conversations
from backend.settings import Settings
from verbatim_record import HttpSink
from verbatim_record.setup_error import SetupError


def replay(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Dialogues, one per line (JSON Lines, or gzip of it), or a recorder's spool."
        ),
    ],
    url: Annotated[str, typer.Option(help="The service to replay into.")] = "http://127.0.0.1:8000",
    concurrency: Annotated[int, typer.Option(help="Dialogues to send at the same time.", min=1, max=1000)] = 8,
    patience: Annotated[float, typer.Option(help="Seconds without an answer before it gives up.", min=0)] = 60,
) -> None:
    """Send recorded event streams, or the messages of a spool, to a service; a second run changes nothing.

    VERBATIM_TOKEN holds the token to send.
    """
    settings = Settings.from_environment()
    token = settings.token.get_secret_value() if settings.token else None
    if spools.is_spool(file):
        spools.replay(file, HttpSink(url, token, proxy=secret(settings.proxy)), patience=patience)
        return
    tally = asyncio.run(
        recordings.replay(file, url, token=token, concurrency=concurrency, patience=patience, proxy=settings.proxy)
    )
    console.print(str(tally), soft_wrap=True)
    if tally.trouble:
        raise SetupError(tally.trouble)
    if not tally.complete:
        raise typer.Exit(FAILED)


def erase(
    conversation: Annotated[UUID | None, typer.Argument(help="The conversation's id.")] = None,
    subject: Annotated[str | None, typer.Option(help="Erase all conversations of this subject instead.")] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Erase a conversation, or all conversations of a subject, for good; nothing can be added to them any more."""
    if (conversation is None) == (subject is None):
        raise SettingsError("Name either a conversation or a --subject.")

    async def find(database: Database) -> Sequence[UUID]:
        return [conversation] if conversation else await conversations.of_subject(database, subject or "")

    found = run_with_database(find)
    if not found:
        console.print("There is nothing to erase.")
        return
    if not yes and not typer.confirm(f"Erase {_count(len(found), 'conversation')}, with everything said there?"):
        raise SetupError("Nothing was erased.")
    failed = run_with_database(lambda database: _erase(database, found))
    if failed:
        raise typer.Exit(FAILED)


async def _erase(database: Database, conversation_ids: Sequence[UUID]) -> int:
    """Erase each conversation in a transaction of its own, and return how many could not be erased."""
    messages = erased = failed = 0
    for conversation_id in conversation_ids:
        try:
            messages += await conversations.erase(database, LOCAL, conversation_id)
            erased += 1
        except RecordError as error:
            if isinstance(error, ConversationNotFound) and len(conversation_ids) > 1:
                continue  # another process has erased it meanwhile
            stderr.print(f"✗ {error}", style="red")
            failed += 1
    console.print(f"Erased {_count(erased, 'conversation')} with {_count(messages, 'message')}.")
    return failed


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
