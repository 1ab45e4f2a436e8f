"""The data that a downgrade deletes: each table and column that Verbatim created, with the revision that created it.

What is made anew from other tables is not counted: the tables of full-text search, and where voice events belong.

A test compares the two lists with a migrated database, so that none is missing.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError

from backend.dao_service.connection.database import asyncpg_url
from backend.migrations.access import connectable, sentence
from verbatim_record.setup_error import SetupError

TABLES: Final[Mapping[str, str]] = {
    "goals": "0001",
    "tasks": "0001",
    "conversations": "0001",
    "messages": "0002",
    "service_tokens": "0105",
    "erasures": "0106",
    "voice_sessions": "0107",
    "voice_events": "0107",
    "deliveries": "0109",
    "voice_session_ids": "0115",
    "stopped_orchestrators": "0109",
    "message_words": "0111",
    "message_words_b": "0111",
    "search_progress": "0111",
    "conversation_holds": "0120",
    "audit_entries": "0120",
}
_MADE_ANEW: Final = {"message_words", "message_words_b", "search_progress", "voice_session_ids"}
_COLUMNS_MADE_ANEW: Final = {("voice_events", "conversation_id")}
COLUMNS: Final[Mapping[tuple[str, str], str]] = {
    ("conversations", "voice_session_id"): "0003",
    ("conversations", "extracted_intent"): "0003",
    ("conversations", "intent_payload"): "0003",
    ("conversations", "linked_goal_id"): "0003",
    ("conversations", "linked_task_id"): "0003",
    ("conversations", "ended_at"): "0003",
    ("conversations", "duration_seconds"): "0003",
    ("conversations", "user_id"): "0101",
    ("conversations", "last_sequence"): "0102",
    ("messages", "sequence"): "0102",
    ("messages", "timestamp"): "0102",
    ("messages", "voice_session_id"): "0102",
    ("messages", "client_sequence"): "0102",
    ("messages", "feed_position"): "0108",
    ("voice_sessions", "client_lost"): "0110",
    ("voice_events", "time_estimated"): "0112",
    ("voice_events", "conversation_id"): "0115",
}
_SIGNED_TABLES: Final = """
    SELECT name FROM unnest(CAST(:names AS text[])) AS wanted (name)
    WHERE obj_description(to_regclass(name), 'pg_class') = 'Made by Verbatim.'
"""
_SIGNED_COLUMNS: Final = """
    SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE attrelid IN (
            to_regclass('conversations'), to_regclass('messages'), to_regclass('voice_sessions'),
            to_regclass('voice_events')
        )
        AND NOT attisdropped
        AND col_description(attrelid, attnum) = 'Made by Verbatim.'
"""


def losses(url: str, revision: str) -> list[str]:
    """Return what a downgrade to ``revision`` deletes, each as ``12 rows of messages``; empty tables are left out.

    Raises SetupError if the database cannot be read.
    """
    return asyncio.run(_losses(asyncpg_url(url), "" if revision == "base" else revision))


async def _losses(url: URL, revision: str) -> list[str]:
    names = [name for name, made in TABLES.items() if made > revision]
    lost: list[str] = []
    try:
        async with connectable(url).connect() as connection:
            tables = set((await connection.scalars(text(_SIGNED_TABLES), {"names": names})).all())
            columns = {(row[0], row[1]) for row in await connection.execute(text(_SIGNED_COLUMNS))}
            for what, query in _counts(revision, tables, columns):
                if count := await connection.scalar(text(query)):
                    lost.append(f"{count:,} {'row' if count == 1 else 'rows'} of {what}")
    except (DBAPIError, OSError) as error:
        raise SetupError(sentence(error, url)) from error
    return lost


def _counts(revision: str, tables: set[str], columns: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield the name of each table or column that a downgrade drops, and a query that counts its rows with a value."""
    for table in TABLES:
        if table in tables - _MADE_ANEW:
            yield table, f"SELECT count(*) FROM {table}"  # noqa: S608 -- our own names
    for (table, column), made in COLUMNS.items():
        if made > revision and (table, column) in columns - _COLUMNS_MADE_ANEW and table not in tables:
            yield f"{table}.{column}", f'SELECT count("{column}") FROM {table}'  # noqa: S608 -- our own names
