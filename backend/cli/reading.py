"""Commands that read the record: show, follow, timeline, export."""

import sys
from contextlib import aclosing
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import orjson
import typer

from backend.cli.access import run_with_database
from backend.cli.terminal import stderr, utc
from backend.dao_service.connection.database import Database
from backend.dao_service.wakeups.listen_notify import Notifier
from backend.formats.invisible import visible
from backend.formats.text import text
from backend.formats.transcript import CAPTIONS, TranscriptFormat, write
from backend.principal import LOCAL
from backend.schemas.conversation import ConversationQuery
from backend.schemas.page import LARGEST_PAGE
from backend.schemas.single_line_json import one_line
from backend.schemas.timeline import TimelineQuery
from backend.services import subjects, timelines, transcripts
from backend.services.live import Ended, Live, LiveUpdate
from backend.timeline import Segment


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


def timeline(
    conversation: Annotated[UUID, typer.Argument(help="The conversation's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object for each segment.")] = False,  # noqa: FBT002 -- an option
) -> None:
    """Print who spoke when in a conversation, with silences, function calls, connections and incidents.

    Each line has the time since the beginning, the length ("~" before an estimate), the lane, and what happened.
    """
    run_with_database(lambda database: _timeline(database, conversation, as_json=as_json))


def export(
    subject: Annotated[str | None, typer.Option(help="Only conversations of this subject.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Only conversations created at this time (UTC) or later.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="Only conversations created before this time (UTC).")] = None,
) -> None:
    """Print whole conversations as JSON lines, newest first, with messages, sessions, receipts and deliveries."""
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


async def _timeline(database: Database, conversation_id: UUID, *, as_json: bool) -> None:
    query: TimelineQuery | None = TimelineQuery()
    while query:
        part = await timelines.part(database, LOCAL, conversation_id, query)
        for segment in part.segments:
            _write(_json(segment) if as_json else _line(segment, part.started_at))
        query = TimelineQuery(cursor=part.next_cursor) if part.has_more else None


async def _export(database: Database, query: ConversationQuery) -> None:
    await subjects.note_export(database, LOCAL, query.user_id)
    async for piece in await subjects.export(database, LOCAL, query):
        _write(piece)


def _json(segment: Segment) -> bytes:
    option = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(segment._asdict(), default=str, option=option)  # `default` is for asyncpg's own UUID


def _line(segment: Segment, beginning: datetime) -> bytes:
    minutes, seconds = divmod(max((segment.started_at - beginning) // timedelta(seconds=1), 0), 60)
    length = "…" if segment.ended_at is None else f"{(segment.ended_at - segment.started_at).total_seconds():.1f} s"
    length = f"~{length}" if segment.estimated else length
    return (
        f"{minutes:02}:{seconds:02} {length:>9}  {segment.lane:<10}  {segment.kind:<17}  {visible(segment.label)}\n"
    ).encode()


def _ended(ended: Ended) -> str:
    if ended.presumed:
        return f"The phone has sent nothing since {ended.ended_at}; it may come back."
    return f"Ended at {ended.ended_at}." if ended.ended_at else "Erased."


def _write(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.flush()
