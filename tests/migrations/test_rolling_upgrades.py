"""Two releases share a database while an upgrade, or its rollback, is under way; a schema that would stop one waits."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from backend.app import create_app
from backend.cli import app as cli
from backend.cli.access import ensure_schema
from backend.dao_service.schema_revision import BASELINE, SCHEMA_REVISION, VERSION_TABLE, Stamp, application_name
from backend.migrations import access, runner
from tests.conftest import running, settings_for
from tests.migrations.releases import NEXT, RUNS_FROM, before_0_2_0, next_release
from tests.pooler import PgBouncer
from tests.waiting import until_found
from verbatim_record.setup_error import SetupError

if TYPE_CHECKING:
    from tests.migrations.conftest import MakeSandbox, Sandbox

API = "/api/v1"
GOOD = {200, 201, 503}  # of an event; a 503 is sent again by a phone, too
OF_MIGRATIONS = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'verbatim migrate'"
EXPAND = ('steps.add_columns("messages", {"weather": "TEXT"})', 'steps.drop_columns("messages", ["weather"])')
CONTRACT = (
    'op.execute("ALTER TABLE conversations DROP COLUMN duration_seconds")',
    'op.execute("ALTER TABLE conversations ADD COLUMN duration_seconds INT")',
)


class Load:
    """Clients that write and read, and send again what was answered by 503, until they are told to stop."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.acknowledged: set[UUID] = set()
        self.unavailable = 0
        self.faults: list[str] = []
        self._client = client
        self._grown = asyncio.Condition()
        self._stopped = asyncio.Event()

    @asynccontextmanager
    async def under_way(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(self._write())
            try:
                yield
            finally:
                self._stopped.set()

    async def acknowledges(self, more: int) -> None:
        """Wait until ``more`` messages have been acknowledged from now on."""
        wanted = len(self.acknowledged) + more
        async with asyncio.timeout(60), self._grown:
            await self._grown.wait_for(lambda: len(self.acknowledged) >= wanted)

    async def is_refused(self, more: int) -> None:
        """Wait until ``more`` requests have been answered by 503 from now on."""
        wanted = self.unavailable + more
        async with asyncio.timeout(60), self._grown:
            await self._grown.wait_for(lambda: self.unavailable >= wanted)

    async def _write(self) -> None:
        session = await self._until_it_is_done("POST", "/voice/sessions", {})
        if session is None:
            return
        conversation, number = session["conversation_id"], 0
        while not self._stopped.is_set():
            number += 1
            message = {"id": str(uuid4()), "conversation_id": conversation, "role": "user", "content": "Hello."}
            if await self._until_it_is_done("POST", "/voice/messages", message):
                self.acknowledged.add(UUID(message["id"]))
            event = {"type": "ConversationText", "role": "user", "content": "Again."}
            events = {"events": [{"id": str(uuid4()), "client_sequence": number, "event": event}]}
            answer = await self._until_it_is_done("POST", f"/voice/sessions/{session['id']}/events", events)
            self.faults += [str(each) for each in (answer or {}).get("results", []) if each["status"] not in GOOD]
            await self._until_it_is_done("GET", f"/conversations/{conversation}/messages?limit=5")
            await self._until_it_is_done("GET", "/conversations?limit=5")
            async with self._grown:
                self._grown.notify_all()

    async def _until_it_is_done(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer, or None if there was none before the end."""
        while True:
            answer = await self._client.request(method, f"{API}{path}", json=body)
            if answer.is_success:
                return answer.json()
            if answer.status_code != 503:
                self.faults.append(f"{method} {path}: {answer.status_code} {answer.text}")
                return None
            self.unavailable += 1
            async with self._grown:
                self._grown.notify_all()
            if self._stopped.is_set():
                return None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), 0.05)


@pytest.fixture
async def record(make_sandbox: MakeSandbox, migrated_template: str) -> Sandbox:
    return await make_sandbox(migrated_template)


async def _see_that_nothing_was_lost(load: Load, sandbox: Sandbox) -> None:
    assert load.faults == []
    stored = {row[0] for row in await sandbox.rows("SELECT id FROM messages")}
    assert load.acknowledged
    assert load.acknowledged <= stored
    assert await sandbox.faults() == []


async def test_the_release_before_serves_on_through_the_migration_to_this_one_and_the_next(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    before, following = before_0_2_0(tmp_path / "before"), next_release(tmp_path / "next", *EXPAND)
    await before.migrate(sandbox.url)
    with before.serving(sandbox.url) as address:
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            load = Load(client)
            async with load.under_way():
                await load.acknowledges(30)
                await sandbox.upgrade()
                await load.acknowledges(30)
                await following.migrate(sandbox.url)
                await load.acknowledges(30)
    await _see_that_nothing_was_lost(load, sandbox)
    assert await sandbox.value(f"SELECT version_num FROM {VERSION_TABLE}") == NEXT


async def test_this_release_stays_ready_through_the_migration_to_the_next_and_starts_after_it(
    record: Sandbox, tmp_path: Path
) -> None:
    following = next_release(tmp_path, *EXPAND)
    async with running(create_app(settings_for(record.url))) as client:
        load = Load(client)
        async with load.under_way():
            await load.acknowledges(30)
            said = await following.migrate(record.url)
            assert f"migrated from {SCHEMA_REVISION} to {NEXT}. Releases from revision {RUNS_FROM} on run" in said
            await load.acknowledges(30)
        assert (await client.get("/readyz")).json()["checks"]["schema"] == "ok"
    await _see_that_nothing_was_lost(load, record)
    with following.serving(record.url) as address:
        async with httpx.AsyncClient(base_url=address, timeout=30) as newer:
            assert (await newer.get("/readyz")).json()["checks"]["schema"] == "ok"
    await asyncio.to_thread(ensure_schema, record.url, 0, ours=False)


async def test_code_is_rolled_back_without_rolling_back_the_schema(record: Sandbox) -> None:
    await record.run(f"ALTER TABLE messages ADD COLUMN weather TEXT; UPDATE {VERSION_TABLE} SET version_num = '{NEXT}'")
    migrated = await _command(record, "migrate")  # as a deployment does before it serves
    assert (migrated.exit_code, migrated.output) == (
        0,
        f"The schema is at {NEXT}, ahead of this release ({SCHEMA_REVISION}), which runs on it. Nothing was changed.\n",
    )
    assert await asyncio.to_thread(access.stamp, record.url) == Stamp(NEXT, RUNS_FROM)
    checked = await _command(record, "check")
    assert "differs from the migrations" not in checked.output
    assert "too old" not in checked.output
    async with running(create_app(settings_for(record.url))) as client:
        load = Load(client)
        async with load.under_way():
            await load.acknowledges(10)
        assert (await client.get("/readyz")).status_code == 200
    await _see_that_nothing_was_lost(load, record)
    for words in (
        ("adopt", "--yes"),
        ("migrate", "--to", SCHEMA_REVISION, "--yes"),
        ("migrate", "--to", "0004", "--yes"),
    ):
        refused = await _command(record, *words)
        assert "this version is too old" in str(refused.exception)


@pytest.mark.parametrize("revision", ["0102", "0106", "0107"])
async def test_this_release_answers_nothing_worse_than_503_on_an_older_schema_until_it_is_migrated(
    sandbox: Sandbox, revision: str
) -> None:
    await sandbox.upgrade(revision)
    async with running(create_app(settings_for(sandbox.url))) as client:
        load = Load(client)
        async with load.under_way():
            await load.is_refused(10)
            assert (await client.get("/readyz")).json()["checks"]["schema"] == "differs"
            await sandbox.upgrade()
            await load.acknowledges(30)
        assert (await client.get("/readyz")).status_code == 200
    await _see_that_nothing_was_lost(load, sandbox)


async def test_serve_waits_for_the_migration_as_long_as_it_is_told_to(sandbox: Sandbox) -> None:
    await sandbox.upgrade("0107")
    with pytest.raises(SetupError, match="run `verbatim migrate`"):
        await asyncio.to_thread(ensure_schema, sandbox.url, 0, ours=False)
    ready = asyncio.ensure_future(asyncio.to_thread(ensure_schema, sandbox.url, 60, ours=False))
    async with sandbox.connect() as watcher:
        await until_found(
            watcher, "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'verbatim migrate'"
        )
        assert not ready.done()
        await sandbox.upgrade()
        await ready


async def test_a_migration_that_would_stop_a_running_release_is_refused_unless_told(
    record: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.health.VERDICT_FRESH_SECONDS", 0)
    following = next_release(tmp_path, *CONTRACT, compatible_from=NEXT)
    catalogue = await record.catalogue()
    async with running(create_app(settings_for(record.url))) as client:
        assert (await client.get("/readyz")).status_code == 200
        refused = await following.run(record.url, "migrate")
        assert refused.returncode == 1
        assert f"Releases before revision {NEXT} cannot run on the new schema, and are connected:" in refused.stderr
        assert f"of a release at {SCHEMA_REVISION} (processes " in refused.stderr
        assert "--allow-breaking" in refused.stderr
        assert await record.catalogue() == catalogue
        assert await asyncio.to_thread(access.stamp, record.url) == Stamp(SCHEMA_REVISION, RUNS_FROM)

        said = await following.migrate(record.url, "--allow-breaking")
        assert f"Releases from revision {NEXT} on run on it" in said
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]["schema"]) == (503, "differs")
    with pytest.raises(SetupError, match="this version is too old"):
        await asyncio.to_thread(ensure_schema, record.url, 0, ours=False)

    await following.migrate(record.url, "--to", SCHEMA_REVISION)
    assert await asyncio.to_thread(access.stamp, record.url) == Stamp(SCHEMA_REVISION, RUNS_FROM)
    await following.migrate(record.url)  # no older release is connected now
    assert await asyncio.to_thread(access.stamp, record.url) == Stamp(NEXT, NEXT)


@pytest.mark.parametrize("parameters", [{}, {"application_name": "the orchestrator"}], ids=["", "named"])
async def test_a_release_is_recognised_by_its_connections_whatever_name_the_url_gives_them(
    record: Sandbox, parameters: dict[str, str]
) -> None:
    url = make_url(record.url).update_query_dict(parameters).render_as_string(hide_password=False)
    async with running(create_app(settings_for(url))):
        await _is_recognised(record)


async def test_a_release_behind_a_pooler_is_recognised_by_the_connection_that_listens(
    record: Sandbox, tmp_path: Path
) -> None:
    with PgBouncer(tmp_path, make_url(record.url), pool_size=3) as pooler:
        async with running(create_app(settings_for(record.url, **pooler.settings(record.url)))):
            await _is_recognised(record)
    names = await record.rows("SELECT application_name FROM pg_stat_activity WHERE datname = current_database()")
    assert (application_name(),) not in names  # PgBouncer keeps its connections, and the name of their last client


def test_a_revision_that_takes_something_away_names_the_oldest_release_that_still_runs() -> None:
    """An index may go without that: a release before it is slower, and runs."""
    for script in runner.scripts().iterate_revisions("head", BASELINE):
        upgrade = inspect.getsource(script.module.upgrade).lower()
        for harmless in ("drop_index", "drop index", "on delete cascade"):
            upgrade = upgrade.replace(harmless, "")
        takes_away = any(word in upgrade for word in ("drop", "rename", "set not null", "delete", "truncate"))
        declared = getattr(script.module, "compatible_from", None)
        assert bool(declared) or not takes_away, f"{script.revision}: see alembic/script.py.mako on expand and contract"
        assert declared is None or (declared in runner.revisions() and declared <= script.revision)


def test_a_schema_that_does_not_say_with_what_it_is_compatible_runs_its_own_release_alone() -> None:
    assert [Stamp("0110").runs(code) for code in ("0109", "0110", "0111")] == [False, True, False]
    assert [Stamp("0112", "0110").runs(code) for code in ("0109", "0110", "0112", "0113")] == [False, True, True, False]
    assert not Stamp().runs("0109")


async def _command(sandbox: Sandbox, *words: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, cli, words, env={"DATABASE_URL": sandbox.url})


async def _is_recognised(sandbox: Sandbox) -> None:
    async with sandbox.connect() as watcher:
        ours = f"datname = current_database() AND application_name LIKE '%{application_name()}'"
        await until_found(watcher, f"SELECT count(*) > 0 FROM pg_stat_activity WHERE {ours}")
