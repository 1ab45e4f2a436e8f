"""A host that was there before us: its rows, columns and writers stay as they are."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from backend.dao_service.connection.database import asyncpg_url
from backend.dao_service.schema_revision import SCHEMA_REVISION, VERSION_TABLE
from backend.migrations import runner
from backend.migrations.adoption import Survey, survey
from verbatim_record.setup_error import SetupError

if TYPE_CHECKING:
    from tests.migrations.conftest import Sandbox

FOUR = "('onboarding', 'goal', 'task', 'reschedule')"
CHECKS = {
    "unnamed": f"CHECK (context_type IN {FOUR})",
    "of another name": f"CONSTRAINT only_known_words CHECK (context_type IN {FOUR})",
    "there twice": f"CONSTRAINT a CHECK (context_type IN {FOUR}) CONSTRAINT b CHECK (context_type <> 'voice')",
    "written otherwise": "CONSTRAINT r CHECK (context_type = 'goal' OR context_type ~ '^(onboarding|task|resch.*)$')",
    "not there": "",
}
CONTEXT_RULES = """
    SELECT conname::text, pg_get_constraintdef(oid), convalidated FROM pg_constraint
    WHERE conrelid = 'conversations'::regclass AND contype = 'c' ORDER BY 1
"""
BEFORE = "t.id, t.user_id, t.context_type, t.messages, t.mood, t.created_at, t.updated_at"


async def _survey(sandbox: Sandbox) -> Survey:
    return await asyncio.to_thread(survey, sandbox.url)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
async def test_whatever_the_old_rule_is_called_voice_is_allowed_and_the_way_down_puts_it_back(
    sandbox: Sandbox, check: str
) -> None:
    await sandbox.make_host(check=check)
    rules = await sandbox.rows(CONTEXT_RULES)
    await sandbox.upgrade()
    [(_, ours, valid), (_, theirs, _)] = await sandbox.rows(CONTEXT_RULES)
    assert "'voice'" in ours
    assert valid
    assert "length" in theirs
    async with sandbox.connect() as connection:
        await connection.execute("INSERT INTO conversations (user_id, context_type) VALUES ('u', 'voice')")
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await connection.execute("INSERT INTO conversations (user_id, context_type) VALUES ('u', 'gossip')")
        await connection.execute("DELETE FROM conversations WHERE context_type = 'voice'")
    assert refused.value.constraint_name == "conversations_context_type_check"
    assert await sandbox.drift() == []
    await sandbox.downgrade("base")
    assert await sandbox.rows(CONTEXT_RULES) == rules


async def test_a_host_may_have_varchar(sandbox: Sandbox) -> None:
    await sandbox.make_host()
    await sandbox.run("ALTER TABLE conversations ALTER context_type TYPE varchar(40), ALTER user_id TYPE varchar(40)")
    await sandbox.upgrade()
    await sandbox.run("INSERT INTO conversations (user_id, context_type) VALUES ('u', 'voice')")
    assert await sandbox.drift() == []
    found = await _survey(sandbox)
    assert (found.complete, found.blockers) == (True, ())


async def test_the_hosts_rows_columns_and_indexes_survive_the_way_up_and_down(sandbox: Sandbox) -> None:
    await sandbox.make_host()
    catalogue = await sandbox.catalogue()
    content = [await sandbox.checksum(table) for table in ("goals", "tasks", "conversations")]
    await sandbox.upgrade()
    assert await sandbox.checksum("conversations", BEFORE) == content[2]
    assert await sandbox.drift() == []
    await sandbox.downgrade("base")
    await sandbox.run(f"DROP TABLE {VERSION_TABLE}")
    assert await sandbox.catalogue() == catalogue
    assert [await sandbox.checksum(table) for table in ("goals", "tasks", "conversations")] == content


async def test_the_hosts_messages_column_is_left_alone_whatever_is_recorded(sandbox: Sandbox) -> None:
    await sandbox.make_host()
    before = await sandbox.checksum("conversations", "t.id, t.messages")
    await sandbox.upgrade()
    await sandbox.run(
        "INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'hi' FROM conversations"
    )
    assert await sandbox.checksum("conversations", "t.id, t.messages") == before


async def test_ten_thousand_messages_from_before_get_their_places_by_time(sandbox: Sandbox) -> None:
    await sandbox.make_host(seed=True)
    await sandbox.run("""
        INSERT INTO messages (conversation_id, role, content, created_at)
        SELECT id, 'user', 'line ' || n, now() - (n % 40) * interval '1 second'
        FROM (SELECT id, row_number() OVER () AS place FROM conversations) AS c, generate_series(1, 50) AS n
    """)
    before = await sandbox.checksum("messages", "t.id, t.conversation_id, t.role, t.content, t.metadata, t.created_at")
    await sandbox.upgrade()
    assert await sandbox.value("SELECT count(*) FROM messages") == 10_000
    assert (
        await sandbox.checksum("messages", "t.id, t.conversation_id, t.role, t.content, t.metadata, t.created_at")
        == before
    )
    assert await sandbox.faults() == []
    assert await sandbox.value("""
        SELECT bool_and(sequence = place AND "timestamp" = created_at) FROM (
            SELECT *, row_number() OVER (PARTITION BY conversation_id ORDER BY created_at, id) AS place FROM messages
        ) AS m
    """)
    assert await sandbox.drift() == []


TOUCH = """
    CREATE TABLE touched (id uuid);
    GRANT ALL ON touched TO PUBLIC;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.updated_at := now();
        NEW.mood := 'touched';
        INSERT INTO touched VALUES (NEW.id);
        RETURN NEW;
    END $$;
    CREATE TRIGGER zz_touch BEFORE UPDATE ON conversations FOR EACH ROW EXECUTE FUNCTION touch();
"""


async def _old_messages(sandbox: Sandbox) -> str:
    """Be a host that stamps every change of a conversation, and return a checksum of its conversations."""
    await sandbox.make_host(seed=True)
    await sandbox.run(
        "INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'hi' FROM conversations;"
        "UPDATE conversations SET updated_at = '2020-01-01Z'"
    )
    await sandbox.run(TOUCH)
    return await sandbox.checksum("conversations", BEFORE)


async def test_numbering_old_messages_runs_none_of_the_hosts_triggers(sandbox: Sandbox) -> None:
    before = await _old_messages(sandbox)
    await sandbox.upgrade()
    assert await sandbox.checksum("conversations", BEFORE) == before
    assert await sandbox.value("SELECT count(*) FROM touched") == 0
    assert await sandbox.faults() == []
    await sandbox.run("UPDATE conversations SET context_type = 'goal'")
    assert await sandbox.value("SELECT count(*) FROM touched") == 200


async def test_where_the_role_may_not_leave_triggers_out_what_they_change_is_put_back(sandbox: Sandbox) -> None:
    before = await _old_messages(sandbox)
    catalogue = await sandbox.catalogue()
    role = f"owner_{uuid4().hex}"
    await sandbox.run(
        f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role};"
        + "".join(f"ALTER TABLE {name} OWNER TO {role};" for name in ("conversations", "messages", "goals", "tasks"))
    )
    owner = make_url(sandbox.url).set(username=role).render_as_string(hide_password=False)
    try:
        warned = "trigger zz_touch on conversations runs once for each conversation that has old messages"
        assert warned in str((await asyncio.to_thread(survey, owner)).warnings)
        assert warned not in str((await _survey(sandbox)).warnings)
        await asyncio.to_thread(runner.upgrade, owner)
        assert warned not in str((await asyncio.to_thread(survey, owner)).warnings)
        assert await sandbox.checksum("conversations", BEFORE) == before
        assert await sandbox.faults() == []
        await sandbox.run("UPDATE conversations SET context_type = 'goal'")
        assert await sandbox.value("SELECT count(*) FROM conversations WHERE mood = 'touched'") == 200
        await asyncio.to_thread(runner.downgrade, owner, "base")
        await sandbox.run(f"DROP TABLE {VERSION_TABLE}")
        assert (await sandbox.catalogue())["functions"] == catalogue["functions"]
    finally:
        await sandbox.run(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")


async def test_what_was_applied_by_hand_stays_on_the_way_down(sandbox: Sandbox) -> None:
    await sandbox.make_host(seed=True)
    await sandbox.run(
        "INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'hi' FROM conversations"
    )
    catalogue, content = await sandbox.catalogue(), await sandbox.checksum("messages")
    await sandbox.upgrade()
    await sandbox.downgrade("base")
    await sandbox.run(f"DROP TABLE {VERSION_TABLE}")
    assert await sandbox.catalogue() == catalogue
    assert await sandbox.checksum("messages") == content


async def test_who_writes_while_old_messages_wait_for_their_places_comes_after_them(sandbox: Sandbox) -> None:
    await sandbox.make_host(rows=2, seed=True)
    await sandbox.run("""
        INSERT INTO messages (conversation_id, role, content)
        SELECT id, 'user', 'old ' || n FROM conversations, generate_series(1, 5) AS n
    """)
    await sandbox.upgrade("0102")
    say = (
        "INSERT INTO messages (id, conversation_id, role, content) "
        "SELECT $1, min(id::text)::uuid, 'user', 'new' FROM conversations"
    )
    known = uuid4()
    async with sandbox.connect() as connection:
        await connection.execute(say, known)
        await connection.execute(say + " ON CONFLICT DO NOTHING", known)
        await connection.execute(say, uuid4())
    assert await sandbox.value("SELECT count(*) FROM messages WHERE sequence IS NULL") == 10
    assert await sandbox.rows("SELECT sequence FROM messages WHERE content = 'new' ORDER BY 1") == [(6,), (7,)]
    await sandbox.upgrade()
    assert await sandbox.faults() == []
    assert await sandbox.value("SELECT max(sequence) FROM messages WHERE content LIKE 'old%'") == 5


@pytest.mark.parametrize("cut_off", [False, True], ids=["in one go", "cut off on the way"])
async def test_a_long_conversation_is_numbered_in_portions_that_need_no_memory(
    sandbox: Sandbox, *, cut_off: bool
) -> None:
    await sandbox.make_host(rows=1, seed=True)
    await sandbox.run("""
        INSERT INTO messages (conversation_id, role, content, created_at)
        SELECT id, 'user', 'old', now() - n % 500 * interval '1 s' FROM conversations, generate_series(1, 9001) AS n
    """)
    await sandbox.upgrade("0102")
    say = "INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'new' FROM conversations"
    if cut_off:
        await sandbox.run("""
            UPDATE messages SET sequence = 9002 - place, "timestamp" = created_at
            FROM (SELECT id AS old, row_number() OVER (ORDER BY created_at DESC, id DESC) AS place FROM messages) AS m
            WHERE id = old AND place <= 4000
        """)
    await sandbox.run(say)
    await sandbox.upgrade("0103")
    await sandbox.run(say)
    await sandbox.upgrade()
    assert await sandbox.faults() == []
    assert await sandbox.value("""
        SELECT bool_and(sequence = place) FROM (
            SELECT sequence, row_number() OVER (ORDER BY content DESC, created_at, id) AS place FROM messages
        ) AS m
    """)


async def test_going_back_is_refused_while_there_are_voice_conversations(sandbox: Sandbox) -> None:
    await sandbox.upgrade()
    await sandbox.run("INSERT INTO conversations (context_type) VALUES ('voice')")
    before = await sandbox.rows(CONTEXT_RULES)
    with pytest.raises(SetupError, match="1 conversations are of type voice"):
        await sandbox.downgrade("0003")
    assert await asyncio.to_thread(runner.current, sandbox.url) == "0004"
    assert await sandbox.rows(CONTEXT_RULES) == before
    await sandbox.upgrade()
    assert await sandbox.value("SELECT count(*) FROM conversations") == 1


async def test_a_foreign_key_of_another_name_is_renamed(sandbox: Sandbox) -> None:
    await sandbox.make_host(seed=True)
    await sandbox.run("ALTER TABLE conversations RENAME CONSTRAINT conversations_linked_goal_id_fkey TO to_goal")
    assert any("to_goal will be renamed" in step for step in (await _survey(sandbox)).steps)
    await sandbox.upgrade()
    names = await sandbox.rows("SELECT conname::text FROM pg_constraint WHERE confrelid = 'goals'::regclass ORDER BY 1")
    assert names == [("conversations_linked_goal_id_fkey",), ("tasks_goal_id_fkey",)]


async def test_where_everything_is_there_already_adoption_only_stamps(sandbox: Sandbox) -> None:
    await sandbox.make_host()
    await sandbox.upgrade()
    await sandbox.run(
        "INSERT INTO messages (conversation_id, role, content) SELECT id, 'user', 'hi' FROM conversations"
    )
    await sandbox.run(f"DROP TABLE {VERSION_TABLE}")
    before = await sandbox.catalogue()
    storage = "SELECT oid, relfilenode FROM pg_class WHERE relname ~ 'conversations|messages|goals|tasks' ORDER BY 1"
    files = await sandbox.rows(storage)
    found = await _survey(sandbox)
    assert (found.complete, found.adoptable, found.revision) == (True, True, None)
    await sandbox.upgrade()
    assert (await _survey(sandbox)).revision == SCHEMA_REVISION
    await sandbox.run(f"DROP TABLE {VERSION_TABLE}")
    assert await sandbox.catalogue() == before
    assert await sandbox.rows(storage) == files


async def test_the_survey_of_a_host_names_each_step_and_after_adoption_none(sandbox: Sandbox) -> None:
    await sandbox.make_host(seed=False)
    found = await _survey(sandbox)
    assert found.adoptable
    assert "conversations lacks ended_at: it will be added without a default, which rewrites nothing." in found.steps
    assert "There is no table messages: it will be created, empty." in found.steps
    assert any(
        step.startswith("context_type is restricted by conversations_context_type_check:") for step in found.steps
    )
    assert found.tables["conversations"].column("mood") is not None
    await sandbox.upgrade()
    after = await _survey(sandbox)
    assert (after.steps, after.blockers) == ((), ())
    assert [warning for warning in after.warnings if not warning.startswith("conversations.user_id is NOT NULL")] == []


async def test_a_host_may_name_its_users_as_it_likes(sandbox: Sandbox) -> None:
    await sandbox.make_host(seed=False)
    await sandbox.run("ALTER TABLE conversations ALTER COLUMN user_id TYPE UUID USING gen_random_uuid()")
    assert (await _survey(sandbox)).adoptable
    await sandbox.upgrade()
    assert await asyncio.to_thread(runner.drift, sandbox.url) == []


async def test_the_survey_of_an_empty_database_and_of_ours(sandbox: Sandbox) -> None:
    assert len((await _survey(sandbox)).steps) == 17
    await sandbox.upgrade()
    assert (await _survey(sandbox)).complete


WARNED = {
    "Row-level security is on for conversations": "ALTER TABLE conversations ENABLE ROW LEVEL SECURITY",
    "The unique key one_each allows one conversation for each user_id and context_type": """
        DELETE FROM conversations AS c WHERE EXISTS (SELECT FROM conversations AS o WHERE
            (o.user_id, o.context_type) = (c.user_id, c.context_type) AND o.id < c.id);
        CREATE UNIQUE INDEX one_each ON conversations (user_id, context_type)
    """,
    "a person can have conversations only if": """
        ALTER TABLE users ADD name TEXT UNIQUE;
        INSERT INTO users (name) SELECT DISTINCT user_id FROM conversations;
        ALTER TABLE conversations ADD FOREIGN KEY (user_id) REFERENCES users (name)
    """,
    "conversations.user_id is of type uuid: the subjects of tokens must be values of that type": """
        ALTER TABLE conversations ALTER user_id TYPE uuid USING gen_random_uuid()
    """,
    "conversations.tenant is NOT NULL and has no default": """
        ALTER TABLE conversations ADD tenant INT;
        UPDATE conversations SET tenant = 1;
        ALTER TABLE conversations ALTER tenant SET NOT NULL
    """,
    "The trigger touch on conversations": """
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER touch BEFORE UPDATE ON conversations FOR EACH ROW EXECUTE FUNCTION f()
    """,
    "restricts context_type together with other columns": """
        ALTER TABLE conversations ADD CHECK (context_type <> 'goal' OR user_id <> '')
    """,
    "also allows the context types diary": """
        ALTER TABLE conversations DROP CONSTRAINT conversations_context_type_check, ADD CONSTRAINT words
        CHECK (context_type IN ('onboarding', 'goal', 'task', 'reschedule', 'diary'))
    """,
    "The index broken on conversations is invalid": """
        CREATE INDEX broken ON conversations (mood);
        UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass
    """,
    "conversations has about 3,000,000 rows": """
        UPDATE pg_class SET reltuples = 3e6 WHERE relname = 'conversations'
    """,
}


@pytest.mark.parametrize(("sentence", "change"), WARNED.items(), ids=WARNED.keys())
async def test_the_survey_warns(sandbox: Sandbox, sentence: str, change: str) -> None:
    await sandbox.make_host()
    await sandbox.run(change)
    found = await _survey(sandbox)
    assert [warning for warning in found.warnings if sentence in warning]
    assert found.adoptable
    await sandbox.upgrade()


QUIET = {
    "a user_id that is NOT NULL": "SELECT",
    "a unique key that is not for voice": """
        CREATE UNIQUE INDEX one_each ON conversations (user_id) WHERE context_type = 'diary'
    """,
    "a trigger that is disabled": f"{TOUCH} ALTER TABLE conversations DISABLE TRIGGER zz_touch",
}


@pytest.mark.parametrize("change", QUIET.values(), ids=QUIET.keys())
async def test_the_survey_does_not_warn_of(sandbox: Sandbox, change: str) -> None:
    await sandbox.make_host()
    await sandbox.run(change)
    assert (await _survey(sandbox)).warnings == ()


async def test_forced_row_level_security_is_in_the_way_of_a_role_that_it_holds_for(sandbox: Sandbox) -> None:
    role = f"owner_{uuid4().hex}"
    await sandbox.make_host()
    await sandbox.run(
        f"CREATE ROLE {role} LOGIN; GRANT CREATE ON SCHEMA public TO {role};"
        + "".join(f"ALTER TABLE {name} OWNER TO {role};" for name in ("conversations", "goals", "tasks"))
        + "ALTER TABLE conversations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
    )
    owner = make_url(sandbox.url).set(username=role).render_as_string(hide_password=False)
    try:
        found = await asyncio.to_thread(survey, owner)
        assert [blocker for blocker in found.blockers if "forced on conversations" in blocker]
        assert (await _survey(sandbox)).adoptable
    finally:
        await sandbox.run(f"REASSIGN OWNED BY {role} TO CURRENT_USER; DROP OWNED BY {role}; DROP ROLE {role}")


async def test_with_what_is_printed_the_hosts_autogenerate_drops_nothing_of_ours(sandbox: Sandbox) -> None:
    await sandbox.make_host()
    assert "include_object" not in str((await _survey(sandbox)).advice)
    await sandbox.run("CREATE TABLE alembic_version (version_num TEXT PRIMARY KEY)")
    engine = create_async_engine(asyncpg_url(sandbox.url))
    models = MetaData()
    async with engine.connect() as connection:
        await connection.run_sync(models.reflect)
    await sandbox.upgrade()
    [recipe] = [text for text in (await _survey(sandbox)).advice if "include_object" in text]
    scope: dict[str, Any] = {}
    exec(recipe[recipe.index("VERBATIM =") : recipe.index("context.configure")], scope)

    def differences(connection: Connection, /, **options: Any) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"target_metadata": models, **options})
        found: list[Any] = compare_metadata(context, models)
        return found

    async with engine.connect() as connection:
        assert await connection.run_sync(differences)
        assert await connection.run_sync(partial(differences, include_object=scope["include_object"])) == []
    await engine.dispose()


BLOCKED = {
    "29 conversations are of type 'diary'": """
        ALTER TABLE conversations DROP CONSTRAINT conversations_context_type_check;
        UPDATE conversations SET context_type = 'diary' WHERE user_id = 'user-1'
    """,
    "conversations.context_type is of type kind; Verbatim needs text.": """
        CREATE TYPE kind AS ENUM ('onboarding', 'goal', 'task', 'reschedule');
        ALTER TABLE conversations DROP CONSTRAINT conversations_context_type_check,
            DROP CONSTRAINT conversations_context_type_check1;
        ALTER TABLE conversations ALTER context_type TYPE kind USING context_type::kind;
        ALTER TABLE conversations ADD CHECK (context_type IN ('onboarding', 'goal', 'task', 'reschedule'))
    """,
    "conversations has no updated_at": "ALTER TABLE conversations DROP COLUMN updated_at",
    "goals.id is of type text; Verbatim needs uuid.": """
        ALTER TABLE tasks DROP goal_id;
        ALTER TABLE goals ALTER id TYPE text
    """,
    "messages has no conversation_id (uuid)": "CREATE TABLE messages (id serial PRIMARY KEY, body text)",
    "messages is not an ordinary table": "CREATE VIEW messages AS SELECT 1 AS id",
}


@pytest.mark.parametrize(("sentence", "change"), BLOCKED.items(), ids=BLOCKED.keys())
async def test_the_survey_says_what_makes_adoption_impossible(sandbox: Sandbox, sentence: str, change: str) -> None:
    await sandbox.make_host()
    await sandbox.run(change)
    found = await _survey(sandbox)
    assert [blocker for blocker in found.blockers if sentence in blocker], found.blockers
    assert not found.adoptable


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("content", "repeat('x', 1048577)", "In 1 messages content is longer than 1 MiB"),
        ("metadata", "'[1]'", "In 1 messages metadata is no JSON object"),
        ("created_at", "'infinity'", "In 1 messages created_at lies outside"),
    ],
)
async def test_rows_that_break_a_rule_are_counted_and_stop_the_migration_in_a_sentence(
    sandbox: Sandbox, column: str, value: str, sentence: str
) -> None:
    await sandbox.make_host(seed=True, rows=2)
    values = {"content": "'hi'", column: value}
    await sandbox.run(
        f"INSERT INTO messages (conversation_id, role, {', '.join(values)}) "
        f"SELECT id, 'user', {', '.join(values.values())} FROM conversations LIMIT 1"
    )
    assert [blocker for blocker in (await _survey(sandbox)).blockers if sentence in blocker]
    with pytest.raises(SetupError, match="Rows that are there already break a rule"):
        await sandbox.upgrade()
    await sandbox.run("DELETE FROM messages")
    await sandbox.upgrade()
    assert await sandbox.drift() == []
