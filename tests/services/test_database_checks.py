"""`/readyz` and `verbatim check` name what is wrong with a database, with a remedy, and are content with a good one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner

from backend.app import create_app
from backend.cli import app
from backend.dao_service.connection.database import Database
from backend.dao_service.privileges import grants
from backend.dao_service.schema_dao import SchemaDAO
from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from tests import clusters
from tests.conftest import connect, open_conversation, running, settings_for, utterance
from tests.disks import fill, small_disk
from tests.failover.servers import pair
from tests.waiting import until_found
from verbatim_record.setup_error import SetupError

HEALTHY = {"database": "ok", "schema": "ok", "writes": "ok", "queue": "ok"}
FUNCTION = "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {} END';"
RAISE = FUNCTION.format("RAISE EXCEPTION ''no, said Minh'';")
SAY = "INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'hi' FROM conversations"


class Broken(NamedTuple):
    """How a database is broken, by its owner, and what is said of it: the part, the word, and a piece of a sentence."""

    sql: str
    part: str
    word: str
    sentence: str


BROKEN = {
    "no right to insert": Broken(
        "REVOKE INSERT ON messages FROM {role}", "writes", "not-permitted", "lacks INSERT on messages"
    ),
    "rights on SELECT alone": Broken(
        "REVOKE INSERT, UPDATE ON ALL TABLES IN SCHEMA public FROM {role}", "writes", "not-permitted", "UPDATE on conv"
    ),
    "no right to draw from the sequence": Broken(
        "REVOKE USAGE ON SEQUENCE messages_feed_position_seq FROM {role}", "writes", "not-permitted", "lacks USAGE on"
    ),
    "no right to append": Broken(
        "REVOKE EXECUTE ON FUNCTION verbatim_append FROM PUBLIC, {role}", "writes", "not-permitted", "lacks EXECUTE on"
    ),
    "row-level security": Broken(
        "ALTER TABLE messages ENABLE ROW LEVEL SECURITY",
        "writes",
        "row-security",
        "Row-level security on messages",
    ),
    "row-level security that hides what it lets in": Broken(
        "ALTER TABLE conversations ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON conversations FOR INSERT WITH CHECK (true)",
        "writes",
        "row-security",
        "Row-level security on conversations",
    ),
    "a sequence behind": Broken(
        f"{SAY}; SELECT setval('messages_feed_position_seq', 1, false)", "writes", "feed-behind", "is behind the posit"
    ),
    "a trigger that raises": Broken(
        f"{RAISE} CREATE TRIGGER touchy BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION f()",
        "writes",
        "host-rule",
        "refuses messages with SQLSTATE P0001: check the triggers touchy on messages",
    ),
    "a trigger that raises when a message is counted": Broken(
        f"{RAISE} CREATE TRIGGER touchy BEFORE UPDATE ON conversations FOR EACH ROW EXECUTE FUNCTION f()",
        "writes",
        "host-rule",
        "touchy on conversations",
    ),
    "a trigger that raises at the commit": Broken(
        f"{RAISE} CREATE CONSTRAINT TRIGGER late AFTER INSERT ON messages DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION f()",
        "writes",
        "host-rule",
        "late on messages",
    ),
    "a trigger that discards": Broken(
        FUNCTION.format("RETURN NULL;")
        + "CREATE TRIGGER void BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION f()",
        "writes",
        "host-rule",
        "discards messages: check the triggers void on messages",
    ),
    "a table that is locked": Broken("LOCK TABLE messages", "writes", "locked", "holds a lock on the tables"),
    "a missing index": Broken("DROP INDEX idx_messages_spoken", "schema", "incomplete", "lacks idx_messages_spoken"),
    "an index that was not built to its end": Broken(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_messages_feed'::regclass",
        "schema",
        "incomplete",
        "lacks idx_messages_feed",
    ),
    "a trigger of ours that is disabled": Broken(
        "ALTER TABLE messages DISABLE TRIGGER verbatim_take_place", "schema", "incomplete", "lacks verbatim_take_place"
    ),
    "a function of ours that was dropped": Broken(
        "DROP FUNCTION verbatim_append", "schema", "incomplete", "lacks verbatim_append"
    ),
    "an older schema": Broken(
        "UPDATE verbatim_alembic_version SET version_num = '0102'", "schema", "differs", "is at 0102, this version"
    ),
    "a newer schema": Broken(
        "UPDATE verbatim_alembic_version SET version_num = '9999';"
        "COMMENT ON TABLE verbatim_alembic_version IS 'Compatible with releases from revision 9999 on.'",
        "schema",
        "differs",
        "this version is too old",
    ),
    "no schema at all": Broken(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public", "schema", "differs", "run `verbatim migrate`"
    ),
}


@pytest.fixture(autouse=True)
def _every_look_is_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.services.health.VERDICT_FRESH_SECONDS", 0)


@pytest.fixture
async def role(connection: asyncpg.Connection) -> AsyncIterator[str]:
    """A role that serves and owns nothing: it has what `verbatim adopt` prints, and no more."""
    name = f"server_{uuid4().hex}"
    await connection.execute(f"CREATE ROLE {name} LOGIN; {' '.join(grants(name, 'public'))}")
    yield name
    await connection.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.fixture
def served_url(database_url: str, role: str) -> str:
    return make_url(database_url).set(username=role).render_as_string(hide_password=False)


async def check(url: str) -> str:
    """Return what `verbatim check` complains of, but for the tests' own server, which is not durable."""
    done = await asyncio.to_thread(CliRunner().invoke, app, ["check"], env={"DATABASE_URL": url})
    assert done.exception is None or isinstance(done.exception, SystemExit | SetupError)
    said = str(done.exception) if isinstance(done.exception, SetupError) else done.stderr
    return "".join(line for line in said.splitlines(keepends=True) if "PostgreSQL runs with" not in line)


async def ready(service: httpx.AsyncClient) -> tuple[int, dict[str, str], str]:
    answer = await service.get("/readyz")
    return answer.status_code, answer.json()["checks"], answer.json().get("detail", "")


@asynccontextmanager
async def broken_by(owner: asyncpg.Connection, sql: str) -> AsyncIterator[None]:
    """Break a database as its owner can; a lock lasts as long as its transaction."""
    if sql.startswith("LOCK"):
        async with owner.transaction():
            await owner.execute(sql)
            yield
    else:
        await owner.execute(sql)
        yield


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_both_name_what_is_wrong_with_a_remedy(
    served_url: str, role: str, connection: asyncpg.Connection, broken: Broken
) -> None:
    await open_conversation(connection)
    async with running(create_app(settings_for(served_url))) as service:
        assert await ready(service) == (200, HEALTHY, "")
        async with broken_by(connection, broken.sql.format(role=role)):
            complaints = await check(served_url)
            status, checks, detail = await ready(service)
    assert (status, checks[broken.part]) == (503, broken.word)
    assert broken.sentence in detail
    assert broken.sentence in complaints
    assert "Minh" not in detail + complaints


async def test_both_name_a_standby(tmp_path: Path) -> None:
    [data] = clusters.prepare(tmp_path / "cluster").glob("postgresql-*/data")
    with pair(data, tmp_path, synchronous=False) as servers:
        await servers.begin()
        async with running(create_app(settings_for(servers.standby.url))) as service:
            status, checks, detail = await ready(service)
        assert (status, checks["database"]) == (503, "read-only")
        assert "accepts no writes" in detail
        assert "takes no writes" in await check(servers.standby.url)


async def test_both_name_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path, "400m") as is_small:
        if not is_small:
            pytest.skip("only root may mount a small disk")
        with EmbeddedPostgres(clusters.prepare(tmp_path / "home"), durable=False) as server:
            async with running(create_app(settings_for(server.url))) as service:
                assert await ready(service) == (200, HEALTHY, "")
                await asyncio.to_thread(fill, tmp_path / "ballast")
                status, checks, detail = await ready(service)
                assert (status, checks["database"]) == (503, "disk-full")
                assert "disk of the database's server is full" in detail
                assert "disk of the database's server is full" in await check(server.url)


async def test_both_are_content_with_a_good_database_and_a_role_that_has_what_is_granted(
    served_url: str, connection: asyncpg.Connection
) -> None:
    assert await check(served_url) == ""
    async with running(create_app(settings_for(served_url))) as service:
        assert await ready(service) == (200, HEALTHY, "")
        opened = (await service.post("/api/v1/conversations", json={"context_type": "voice"})).json()
        place = f"/api/v1/conversations/{opened['id']}"
        answers = [
            await service.post("/api/v1/voice/messages", json=utterance(opened["id"])),
            await service.post("/api/v1/voice/sessions", json={"conversation_id": opened["id"]}),
            await service.patch(place, json={"linked_goal_id": None}),
            await service.get(f"{place}/transcript"),
            await service.delete(place),
        ]
    assert [answer.status_code for answer in answers] == [201, 201, 200, 200, 204]
    assert await connection.fetchval("SELECT count(*) FROM erasures") == 1


HOSTS = {
    "that numbers its conversations": "ALTER TABLE conversations ADD number bigserial",
    "that wants a tenant": "ALTER TABLE conversations ADD tenant INT, ALTER user_id SET NOT NULL",
    "that rules its owners": "ALTER TABLE conversations ADD CHECK (user_id IS NOT NULL)",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
@pytest.mark.parametrize("old", [False, True], ids=["no conversation", "an old one"])
async def test_a_look_leaves_nothing_behind_in_a_host(
    service: httpx.AsyncClient, connection: asyncpg.Connection, host: str, *, old: bool
) -> None:
    if old:
        await connection.execute("INSERT INTO conversations (context_type, user_id) VALUES ('voice', 'minh')")
    await connection.execute(host)
    drawn = "SELECT array_agg((oid, pg_sequence_last_value(oid))::text ORDER BY oid) FROM pg_class WHERE relkind = 'S'"
    before = await connection.fetchval(drawn), await connection.fetch("SELECT * FROM conversations")
    for _ in range(3):
        assert await ready(service) == (200, HEALTHY, "")
    assert await connection.fetch("SELECT FROM messages") == []
    assert (await connection.fetchval(drawn), await connection.fetch("SELECT * FROM conversations")) == before


async def test_a_look_waits_for_no_conversation_that_is_locked(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("ALTER TABLE conversations ADD number bigserial")
    async with connection.transaction():
        await connection.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation)
        assert await ready(service) == (200, HEALTHY, "")


async def test_many_looks_at_once_wait_for_no_other(database_url: str) -> None:
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(running(create_app(settings_for(database_url)))) for _ in range(4)]
        for _ in range(5):
            assert {found[0] for found in await asyncio.gather(*map(ready, services))} == {200}


async def test_a_look_holds_up_no_reader_of_the_feed(database_url: str, connection: asyncpg.Connection) -> None:
    """A trigger of the test's waits inside the look, and no word of a position to come is left meanwhile."""
    await open_conversation(connection)
    await connection.execute(
        FUNCTION.format("PERFORM pg_advisory_lock_shared(4711); RETURN NEW;")
        + "CREATE TRIGGER wait AFTER INSERT ON messages FOR EACH ROW EXECUTE FUNCTION f()"
    )
    other = await connect(database_url)
    await other.execute("SELECT pg_advisory_lock(4711)")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    words = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint >> 16 = 22086"
    async with running(create_app(settings_for(database_url))) as service:
        look = asyncio.create_task(service.get("/readyz"))
        await until_found(connection, waiting)
        assert await connection.fetchval(words) == 0
        await other.close()
        assert (await look).status_code == 200


async def test_a_position_that_was_used_is_never_given_again(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    """The last that was given may have been erased: what comes next lies far beyond what is on record."""
    for number in range(3):
        assert (await service.post("/api/v1/voice/messages", json=utterance(conversation, str(number)))).is_success
    used = await connection.fetchval("SELECT max(feed_position) FROM messages")
    await connection.execute("DELETE FROM messages WHERE feed_position = $1", used)
    for insert in ("ours", "a stranger's"):
        await connection.execute("SELECT setval('messages_feed_position_seq', 1, false)")
        if insert == "ours":
            assert (await service.post("/api/v1/voice/messages", json=utterance(conversation))).status_code == 201
        else:
            await connection.execute(SAY)
        latest = await connection.fetchval("SELECT max(feed_position) FROM messages")
        assert latest > used + 2**29
        used = latest


async def test_many_who_find_the_sequence_behind_set_it_forward_once(
    database_url: str, connection: asyncpg.Connection
) -> None:
    conversations = [await open_conversation(connection) for _ in range(8)]
    await connection.execute(f"{SAY}; SELECT setval('messages_feed_position_seq', 1, false)")
    writers = [await connect(database_url) for _ in conversations]
    say = "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', 'x')"
    await asyncio.gather(
        *(writer.execute(say, conversation) for writer, conversation in zip(writers, conversations, strict=True))
    )
    places = [row[0] for row in await connection.fetch("SELECT feed_position FROM messages ORDER BY 1")]
    assert len(places) == 16
    assert places[-1] - places[8] == 7
    for writer in writers:
        await writer.close()


async def test_a_service_that_runs_sets_a_sequence_forward_after_it_has_said_so(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await open_conversation(connection)
    await connection.execute(SAY)
    await connection.execute("SELECT setval('messages_feed_position_seq', 1, false)")
    assert (await ready(service))[:2] == (503, HEALTHY | {"writes": "feed-behind"})
    assert await ready(service) == (200, HEALTHY, "")
    assert await connection.fetchval("SELECT last_value FROM messages_feed_position_seq") > 2**29


async def test_a_message_that_is_recorded_during_the_check_does_not_put_the_feed_behind(
    database: Database, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_conversation(connection)
    await connection.execute(SAY)
    async with database.reading() as session:
        scalar = session.scalar

        async def scalar_and_a_message(*arguments: Any) -> Any:
            found = await scalar(*arguments)
            await connection.execute(SAY)
            return found

        monkeypatch.setattr(session, "scalar", scalar_and_a_message)
        assert not await SchemaDAO(session).feed_is_behind()


async def test_migrating_sets_a_sequence_forward(database_url: str, connection: asyncpg.Connection) -> None:
    await open_conversation(connection)
    await connection.execute(f"{SAY}; SELECT setval('messages_feed_position_seq', 1, false)")
    await asyncio.to_thread(runner.upgrade, database_url)
    assert await connection.fetchval("SELECT last_value FROM messages_feed_position_seq") > 2**29
