"""What PostgreSQL fails to read leaves one line in the log, and is retryable only if a retry may succeed."""

import json
from uuid import UUID

import asyncpg
import httpx
import pytest

from backend.app import create_app
from tests.conftest import running, settings_for

CASES = [
    ("57014", 504, "/problems/too-slow", False),
    ("53100", 503, "/problems/database-unavailable", True),
    ("XX000", 503, "/problems/database-unavailable", True),
    ("XX001", 500, "/problems/internal-error", False),
    ("XX002", 500, "/problems/internal-error", False),
    ("53400", 500, "/problems/internal-error", False),
    ("54001", 500, "/problems/internal-error", False),
]
FAILING = """
    CREATE FUNCTION fail() RETURNS boolean LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'Minh said so' USING ERRCODE = '{state}'; END $$;
    ALTER TABLE conversations RENAME TO kept;
    CREATE VIEW conversations AS SELECT * FROM kept WHERE fail();
"""


def lines_with(state: str, printed: str) -> list[str]:
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    return [line for line in lines if json.loads(line).get("sqlstate") == state]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
async def test_what_cannot_be_read_is_logged_once_and_retryable_only_if_that_may_help(
    service: httpx.AsyncClient,
    connection: asyncpg.Connection,
    conversation: UUID,
    case: tuple[str, int, str, bool],
    capfd: pytest.CaptureFixture[str],
) -> None:
    state, *answered = case
    await connection.execute(FAILING.format(state=state))
    capfd.readouterr()
    answer = await service.get(f"/api/v1/conversations/{conversation}")
    printed = capfd.readouterr().out
    assert [answer.status_code, answer.json()["type"], "retry-after" in answer.headers] == answered
    assert len(lines_with(state, printed)) == 1
    assert "Minh" not in printed + answer.text


@pytest.mark.pooled
async def test_a_statement_that_runs_into_its_time_limit_is_no_retryable_answer(
    database_url: str, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute(
        "ALTER TABLE conversations RENAME TO kept;"
        "CREATE VIEW conversations AS SELECT * FROM kept WHERE pg_sleep(60) IS NOT NULL"
    )
    async with running(create_app(settings_for(database_url, statement_timeout=0.2))) as service:
        answer = await service.get(f"/api/v1/conversations/{conversation}")
    assert (answer.status_code, "retry-after" in answer.headers) == (504, False)
