"""Commands that read the record: show, follow, export."""

import sys
from contextlib import aclosing
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from backend.cli.access import run_with_database
from backend.cli.terminal import stderr, utc
from backend.dao_service.connection.database import Database
from backend.dao_service.wakeups.listen_notify import Notifier
from backend.formats.text import text
from backend.formats.transcript import CAPTIONS, TranscriptFormat, write
from backend.principal import LOCAL
from backend.schemas.conversation import ConversationQuery
from backend.schemas.page import LARGEST_PAGE
from backend.schemas.single_line_json import one_line
from backend.services import subjects, transcripts
from backend.services.live import Ended, Live, LiveUpdate


class LiveFormat(StrEnum):
    """The output format of `follow`: text for a person, or one JSON object per line."""

    TEXT = "text"
    JSONL = "jsonl"


def show(
    conversation: Annotated[UUID, typer.Argument(help="The conversation's id.")],
    form: Annotated[TranscriptFormat, typer.Option("--format", help="The output format.")] = TranscriptFormat.TEXT,
) -> None:
    """Print the transcript of a conversation."""
    run_with_database(lambda database: _print(database, conversation, form))


def follow(
    conversation: Annotated[UUID, typer.Argument(help="The conversation's id.")],
    after: Annotated[int, typer.Option(help="Begin after the message with this sequence.", min=0)] = 0,
    form: Annotated[LiveFormat, typer.Option("--format", help="The output format.")] = LiveFormat.TEXT,
) -> None:
    """Print the messages of a conversation, then new ones as they are recorded, until the conversation ends."""
    run_with_database(lambda database: _follow(database, conversation, after, form))


def export(
    subject: Annotated[str | None, typer.Option(help="Only conversations of this subject.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only conversations created at this time (UTC) or later.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="Only conversations created before this time (UTC).")] = None,
) -> None:
    """Print whole conversations, newest first, one JSON line each, with messages, sessions, receipts and deliveries."""
    query = {"user_id": subject, "since": utc(since), "until": utc(until), "limit": LARGEST_PAGE}
    run_with_database(lambda database: _export(database, ConversationQuery.model_validate(query)))


async def _print(database: Database, conversation_id: UUID, form: TranscriptFormat) -> None:
    found = await transcripts.transcript(database, LOCAL, conversation_id)
    began = await transcripts.call_began(database, conversation_id) if form in CAPTIONS else None
    async for piece in write(form, conversation_id, found.parts, began=began):
        _write(piece)


async def _follow(database: Database, conversation_id: UUID, after: int, form: LiveFormat) -> None:
    live, notifier = Live(database), Notifier(database)
    await live.admit(LOCAL, conversation_id)
    notifier.start()
    try:
        async with aclosing(live.follow(conversation_id, after)) as stream:
            async for news in stream:
                if isinstance(news, LiveUpdate):
                    for row in news.messages:
                        _write(text(row.document) if form is LiveFormat.TEXT else one_line(row.document) + b"\n")
                    if news.ended:
                        stderr.print(_ended(news.ended))
    finally:
        await notifier.close()


async def _export(database: Database, query: ConversationQuery) -> None:
    async for piece in await subjects.export(database, LOCAL, query):
        _write(piece)


def _ended(ended: Ended) -> str:
    if ended.presumed:
        return f"The phone has sent nothing since {ended.ended_at}; it may come back."
    return f"Ended at {ended.ended_at}." if ended.ended_at else "Erased."


def _write(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.flush()
