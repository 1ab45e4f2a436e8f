"""The revisions of release 0.2.0 take the place of those before it, which no release had, and make the same schema."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backend.dao_service.schema_revision import BASELINE, SCHEMA_REVISION, VERSION_TABLE, Stamp
from backend.migrations import access, runner
from backend.migrations.adoption import complete, survey
from tests.installed import postgres_tool
from tests.migrations.releases import RUNS_FROM, before_0_2_0
from verbatim_record.setup_error import SetupError

if TYPE_CHECKING:
    from tests.migrations.conftest import MakeSandbox, Sandbox

FILES = "SELECT oid, relfilenode FROM pg_class WHERE relnamespace = current_schema()::regnamespace ORDER BY 1"
STAMP = f"SELECT version_num FROM {VERSION_TABLE}"
OLD_HEAD = f"UPDATE {VERSION_TABLE} SET version_num = '0024'; COMMENT ON TABLE {VERSION_TABLE} IS NULL"


def test_the_models_name_the_newest_revision() -> None:
    assert runner.revisions()[-1] == SCHEMA_REVISION, (
        "write the new revision into backend/dao_service/schema_revision.py"
    )


async def test_the_revisions_make_the_same_schema_as_those_before_0_2_0(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    before = before_0_2_0(tmp_path)
    for seed in (None, True):  # an empty database; one of a host that applied the seed's SQL by hand
        old, new = await make_sandbox(), await make_sandbox()
        for each in (old, new):
            if seed is not None:
                await each.make_host(seed=seed)
        await before.migrate(old.url)
        await new.upgrade(BASELINE)
        assert await old.value(STAMP) == "0024"
        assert await old.catalogue() == await new.catalogue()
        await old.upgrade(BASELINE)
        assert await _dump(old) == await _dump(new)


async def test_a_database_at_the_last_revision_before_0_2_0_is_stamped_and_nothing_in_it_is_changed(
    sandbox: Sandbox,
) -> None:
    await sandbox.upgrade(BASELINE)
    await sandbox.run(OLD_HEAD)
    catalogue, files = await sandbox.catalogue(), await sandbox.rows(FILES)
    assert await asyncio.to_thread(runner.current, sandbox.url) == BASELINE
    found = await asyncio.to_thread(survey, sandbox.url)
    assert found.revision == BASELINE
    await sandbox.upgrade(BASELINE)
    assert await asyncio.to_thread(access.stamp, sandbox.url) == Stamp(BASELINE, BASELINE)
    assert (await sandbox.catalogue(), await sandbox.rows(FILES)) == (catalogue, files)

    await sandbox.run(OLD_HEAD)
    await asyncio.to_thread(complete, sandbox.url, found)
    assert await sandbox.value(STAMP) == SCHEMA_REVISION
    await sandbox.downgrade(BASELINE)
    await sandbox.run(OLD_HEAD)
    await sandbox.downgrade("0004")
    assert await sandbox.value(STAMP) == "0004"


@pytest.mark.parametrize("revision", ["0005", "0012", "0023"])
async def test_a_database_at_another_revision_before_0_2_0_is_refused_in_a_sentence(
    sandbox: Sandbox, revision: str
) -> None:
    await sandbox.upgrade()
    await sandbox.run(OLD_HEAD)
    await sandbox.run(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")
    catalogue = await sandbox.catalogue()
    for change in (sandbox.upgrade(), sandbox.downgrade("base")):
        with pytest.raises(SetupError, match=f"is at {revision}, which only checkouts before release 0.2.0 have: run"):
            await change
    assert await sandbox.catalogue() == catalogue
    assert await sandbox.value(STAMP) == revision


async def test_the_printed_sql_goes_on_from_the_last_revision_before_0_2_0(sandbox: Sandbox) -> None:
    psql = str(postgres_tool("psql"))
    await sandbox.upgrade(BASELINE)
    await sandbox.run(OLD_HEAD)
    script = await asyncio.to_thread(runner.sql, "0024:head")
    command = [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", sandbox.url]
    run = await asyncio.to_thread(
        subprocess.run, command, input=script, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stderr
    assert await asyncio.to_thread(access.stamp, sandbox.url) == Stamp(SCHEMA_REVISION, RUNS_FROM)


async def _dump(sandbox: Sandbox) -> list[str]:
    """Return the schema as `pg_dump` writes it, without what differs between two runs."""
    command = [str(postgres_tool("pg_dump")), "--schema-only", sandbox.url]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True, timeout=60)
    return [line for line in run.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
