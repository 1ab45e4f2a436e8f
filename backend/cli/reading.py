"""Commands that read what is on record: show, follow, export."""

import sys
from contextlib import aclosing
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from backend.cli.access import ask
from backend.cli.terminal import complaints
from backend.dao_service.connection.database import Database
from backend.dao_service.wakeups.listen_notify import Notifier
from backend.formats.text import text
from backend.formats.transcript import TranscriptFormat, write
from backend.principal import LOCAL
from backend.schemas.conversation import ConversationQuery
from backend.schemas.page import LARGEST_PAGE
from backend.schemas.single_line_json import one_line
from backend.services import subjects, transcripts
from backend.services.live import Ended, Live, News


class LiveFormat(StrEnum):
    """How what comes is written: for a person, or a JSON object a line."""

    TEXT = "text"
    JSONL = "jsonl"


def show(
    conversation: Annotated[UUID, typer.Argument(help="The conversation's id.")],
    form: Annotated[TranscriptFormat, typer.Option("--format", help="How to write it.")] = TranscriptFormat.TEXT,
) -> None:
    """Print what was said in a conversation."""
    ask(lambda database: _print(database, conversation, form))


def follow(
    conversation: Annotated[UUID, typer.Argument(help="The conversation's id.")],
    after: Annotated[int, typer.Option(help="The sequence after which to begin.", min=0)] = 0,
    form: Annotated[LiveFormat, typer.Option("--format", help="How to write it.")] = LiveFormat.TEXT,
) -> None:
    """Print what was said in a conversation, and then what is said, as it is recorded, until it ends."""
    ask(lambda database: _follow(database, conversation, after, form))


def export(
    subject: Annotated[str | None, typer.Option(help="Only what belongs to this subject.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only what was opened at this time (UTC) or later.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only what was opened before this time (UTC).")] = None,
) -> None:
    """Print conversations whole, newest first: a line each, with messages, voice sessions, receipts and deliveries."""
    query = {"user_id": subject, "since": _utc(since), "until": _utc(until), "limit": LARGEST_PAGE}
    ask(lambda database: _export(database, ConversationQuery.model_validate(query)))


async def _print(database: Database, conversation_id: UUID, form: TranscriptFormat) -> None:
    found = await transcripts.transcript(database, LOCAL, conversation_id)
    async for piece in write(form, conversation_id, found.parts):
        _out(piece)


async def _follow(database: Database, conversation_id: UUID, after: int, form: LiveFormat) -> None:
    live, notifier = Live(database), Notifier(database)
    await live.admit(LOCAL, conversation_id)
    notifier.start()
    try:
        async with aclosing(live.follow(conversation_id, after)) as everything:
            async for news in everything:
                if isinstance(news, News):
                    for row in news.messages:
                        _out(text(row.document) if form is LiveFormat.TEXT else one_line(row.document) + b"\n")
                    if news.ended:
                        complaints.print(_ended(news.ended))
    finally:
        await notifier.close()


async def _export(database: Database, query: ConversationQuery) -> None:
    async for piece in await subjects.export(database, LOCAL, query):
        _out(piece)


def _ended(ended: Ended) -> str:
    if ended.presumed:
        return f"Nothing was heard from the phone since {ended.ended_at}; it may come back."
    return f"Ended at {ended.ended_at}." if ended.ended_at else "Erased."


def _out(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def _utc(moment: datetime | None) -> str | None:
    return f"{moment.isoformat()}Z" if moment else None
