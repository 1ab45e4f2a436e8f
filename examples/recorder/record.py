"""A temporary record for an example: an embedded PostgreSQL with one conversation."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from backend.dao_service.connection.database import Database
from backend.embedded_postgres import EmbeddedPostgres
from backend.formats.transcript import TranscriptFormat, write
from backend.migrations import runner
from backend.observability import logs
from backend.principal import LOCAL
from backend.schemas.conversation import ConversationCreate
from backend.services import conversations, transcripts
from backend.services.appender import Appender
from backend.services.appender_sink import AppenderSink
from backend.vocabulary import ContextType
from verbatim_record import Recorder


@dataclass(frozen=True, slots=True)
class Record:
    """One conversation, with the database and the spool for its recorder."""

    database: Database
    appender: Appender
    conversation_id: UUID
    spool: Path

    def recorder(self) -> Recorder:
        """Return a recorder for the conversation that appends to the database in this process."""
        return Recorder(AppenderSink(self.appender, LOCAL), conversation_id=self.conversation_id, spool=self.spool)

    async def show(self) -> None:
        """Print the transcript of the conversation."""
        parts = (await transcripts.transcript(self.database, LOCAL, self.conversation_id)).parts
        async for piece in write(TranscriptFormat.TEXT, self.conversation_id, parts):
            sys.stdout.write(piece.decode())


def run(hold: Callable[[Record], Awaitable[None]]) -> None:
    """Start a temporary record, call ``hold`` with it, print the transcript, and delete everything."""
    logs.configure("WARNING")
    with tempfile.TemporaryDirectory(prefix="verbatim-") as folder, EmbeddedPostgres(Path(folder) / "db") as postgres:
        runner.upgrade(postgres.url)
        asyncio.run(_run(postgres.url, Path(folder) / "calls.spool", hold))


async def _run(url: str, spool: Path, hold: Callable[[Record], Awaitable[None]]) -> None:
    database = Database(url)
    appender = Appender(database)
    appender.start()
    try:
        opened, _ = await conversations.create(database, LOCAL, ConversationCreate(context_type=ContextType.VOICE))
        record = Record(database, appender, opened.id, spool)
        await hold(record)
        await record.show()
    finally:
        await appender.close()
        await database.close()
