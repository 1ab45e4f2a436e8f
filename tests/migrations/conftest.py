"""Fresh databases, and a host application that was there before us.

``VERBATIM_TEST_SERVER`` names another server (a URL whose user may create databases), say of another version.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from backend.migrations import runner

_numbers = count(1)

SEED = """
    CREATE TABLE messages (
        id              UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        conversation_id UUID NOT NULL REFERENCES conversations(id) ON DELETE CASCADE,
        role            TEXT NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'function')),
        content         TEXT NOT NULL,
        input_modality  TEXT NOT NULL DEFAULT 'text' CHECK (input_modality IN ('voice', 'text')),
        metadata        JSONB DEFAULT '{}',
        created_at      TIMESTAMPTZ NOT NULL DEFAULT now()
    );
    CREATE INDEX idx_messages_conversation ON messages(conversation_id, created_at);

    ALTER TABLE conversations ADD COLUMN voice_session_id  TEXT;        -- the latest voice session
    ALTER TABLE conversations ADD COLUMN extracted_intent  TEXT;        -- GOAL, NEW_TASK, RESCHEDULE_TASK
    ALTER TABLE conversations ADD COLUMN intent_payload    JSONB;       -- the full payload sent to the orchestrator
    ALTER TABLE conversations ADD COLUMN linked_goal_id    UUID REFERENCES goals(id);
    ALTER TABLE conversations ADD COLUMN linked_task_id    UUID REFERENCES tasks(id);
    ALTER TABLE conversations ADD COLUMN ended_at          TIMESTAMPTZ;
    ALTER TABLE conversations ADD COLUMN duration_seconds  INT;
"""

HOST = """
    CREATE TABLE users (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), email TEXT);
    CREATE TABLE goals (id UUID PRIMARY KEY, title TEXT NOT NULL, wanted_by DATE);
    CREATE TABLE tasks (id UUID PRIMARY KEY, goal_id UUID REFERENCES goals(id), done BOOLEAN NOT NULL DEFAULT false);
    CREATE TABLE conversations (
        id           UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id      TEXT NOT NULL,
        context_type TEXT NOT NULL {check},
        messages     JSONB DEFAULT '[]',
        mood         TEXT DEFAULT 'fine',
        created_at   TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
        updated_at   TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
        CHECK (length(context_type) > 2)
    );
    CREATE INDEX conversations_by_user ON conversations (user_id, created_at DESC);
    INSERT INTO goals SELECT gen_random_uuid(), 'goal ' || n FROM generate_series(1, 10) AS n;
    INSERT INTO conversations (user_id, context_type, messages, created_at)
    SELECT 'user-' || n % 7, (ARRAY['onboarding', 'goal', 'task', 'reschedule'])[1 + n % 4],
           jsonb_build_array(jsonb_build_object('said', 'line ' || n)), now() - n * interval '1 minute'
    FROM generate_series(1, {rows}) AS n;
"""
OLD_CHECK = "CHECK (context_type IN ('onboarding', 'goal', 'task', 'reschedule'))"


class Sandbox:
    """One database, and the ways into it."""

    def __init__(self, url: str, database: str | None = None) -> None:
        plain = make_url(url)
        plain = plain.set(drivername="postgresql", database=database or plain.database)
        self.url = plain.render_as_string(hide_password=False)

    @asynccontextmanager
    async def connect(self, name: str = "a test") -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.url, server_settings={"application_name": name})
        try:
            yield connection
        finally:
            await connection.close()

    async def run(self, sql: str) -> None:
        async with self.connect() as connection:
            await connection.execute(sql)

    async def value(self, sql: str, *arguments: Any) -> Any:
        async with self.connect() as connection:
            return await connection.fetchval(sql, *arguments)

    async def rows(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        async with self.connect() as connection:
            return [tuple(row) for row in await connection.fetch(sql, *arguments)]

    async def upgrade(self, revision: str = "head", **options: Any) -> None:
        await asyncio.to_thread(runner.upgrade, self.url, revision, **options)

    async def downgrade(self, revision: str, **options: Any) -> None:
        await asyncio.to_thread(runner.downgrade, self.url, revision, **options)

    async def drift(self) -> list[str]:
        return await asyncio.to_thread(runner.drift, self.url)

    async def make_host(self, *, check: str = OLD_CHECK, rows: int = 200, seed: bool = False) -> None:
        """Be a host application; with ``seed``, one that applied the seed's SQL by hand."""
        await self.run(HOST.format(check=check, rows=rows) + (SEED if seed else ""))

    async def catalogue(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything in the current schema that a migration could get wrong, as PostgreSQL prints it."""
        return {kind: await self.rows(query) for kind, query in _CATALOGUE.items()}

    async def checksum(self, table: str, columns: str = "t.*") -> str:
        rows = f"SELECT ({columns})::text AS line FROM {table} AS t"
        digest: str = await self.value(f"SELECT md5(string_agg(line, '|' ORDER BY line)) FROM ({rows}) AS lines")
        return digest

    async def faults(self) -> list[tuple[Any, ...]]:
        """Conversations whose messages are not 1, 2, 3 … or whose counter says something else."""
        return await self.rows("""
            SELECT c.id, last_sequence, count(m.id), min(sequence), max(sequence)
            FROM conversations AS c LEFT JOIN messages AS m ON conversation_id = c.id
            GROUP BY c.id, last_sequence
            HAVING last_sequence <> count(m.id) OR max(sequence) <> count(m.id)
                OR count(DISTINCT sequence) <> count(m.id)
        """)


_CATALOGUE = {
    "columns": """
        SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
        ORDER BY 1, 2
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname::text, convalidated, pg_get_constraintdef(oid),
               (
                   SELECT array_agg(attname::text ORDER BY attname)
                   FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)
               )
        FROM pg_constraint
        WHERE connamespace = current_schema()::regnamespace AND contype IN ('p', 'u', 'f', 'c') ORDER BY 1, 2
    """,
    "indexes": """
        SELECT indrelid::regclass::text, indexrelid::regclass::text, indisvalid, pg_get_indexdef(indexrelid)
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relnamespace = current_schema()::regnamespace ORDER BY 1, 2
    """,
    "triggers": "SELECT tgname::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    "functions": """
        SELECT proname::text, prosrc, prosecdef, proacl::text, proconfig::text
        FROM pg_proc WHERE pronamespace = current_schema()::regnamespace ORDER BY 1
    """,
}


@pytest.fixture(scope="session")
def migration_server(request: pytest.FixtureRequest) -> str:
    named = os.environ.get("VERBATIM_TEST_SERVER")
    return named or request.getfixturevalue("postgres").render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def migrated_template(migration_server: str) -> Iterator[str]:
    """The name of a database that is migrated and empty."""
    server, name = Sandbox(migration_server), f"mig_{os.getpid()}_template"
    asyncio.run(server.run(f"CREATE DATABASE {name}"))
    runner.upgrade(Sandbox(migration_server, name).url)
    yield name
    asyncio.run(server.run(f"DROP DATABASE {name} WITH (FORCE)"))


MakeSandbox = Callable[..., Awaitable[Sandbox]]


@pytest.fixture
async def make_sandbox(migration_server: str) -> AsyncIterator[MakeSandbox]:
    """A new, empty database each time."""
    names: list[str] = []

    async def make(template: str = "template1") -> Sandbox:
        names.append(f"mig_{os.getpid()}_{next(_numbers)}")
        await Sandbox(migration_server).run(f"CREATE DATABASE {names[-1]} TEMPLATE {template} STRATEGY file_copy")
        return Sandbox(migration_server, names[-1])

    yield make
    for name in names:
        await Sandbox(migration_server).run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    return await make_sandbox()


@pytest.fixture
def seed_sql() -> str:
    return SEED
