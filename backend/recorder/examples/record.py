"""A record that is there for as long as an example runs: a PostgreSQL of its own, and one conversation."""

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
from backend.recorder import AppenderSink, Recorder
from backend.schemas.conversation import ConversationCreate
from backend.services import conversations, transcripts
from backend.services.appender import Appender
from backend.vocabulary import ContextType


@dataclass(frozen=True, slots=True)
class Record:
    """One conversation, and where it is recorded."""

    database: Database
    appender: Appender
    conversation_id: UUID
    spool: Path

    def recorder(self) -> Recorder:
        """Return a recorder for the conversation, as a pipeline in the database's own process has it."""
        return Recorder(AppenderSink(self.appender, LOCAL), conversation_id=self.conversation_id, spool=self.spool)

    async def show(self) -> None:
        """Print what is on record."""
        parts = (await transcripts.transcript(self.database, LOCAL, self.conversation_id)).parts
        async for piece in write(TranscriptFormat.TEXT, self.conversation_id, parts):
            sys.stdout.write(piece.decode())


def run(hold: Callable[[Record], Awaitable[None]]) -> None:
    """Bring up a record, ``hold`` a conversation, print what is on record of it, and take everything away again."""
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
