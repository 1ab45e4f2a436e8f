"""`verbatim distribute`: what is in its way, its steps, and going on after it was cut off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from backend.migrations.distribution import Survey, distribute, survey
from tests.migrations.citus_stand_in import STAND_IN
from verbatim_record.setup_error import SetupError

if TYPE_CHECKING:
    from tests.migrations.conftest import MakeSandbox, Sandbox

KEY = """
    SELECT array_agg(attname::text ORDER BY array_position(indkey::int[], attnum::int))
    FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indrelid = $1::regclass AND indisprimary
"""
TIES = "SELECT conname::text FROM pg_constraint WHERE contype = 'f' ORDER BY 1"
PLACED = "SELECT table_name::text, citus_table_type, shard_count FROM citus_tables ORDER BY 1"


@pytest.fixture
async def cluster(make_sandbox: MakeSandbox, migrated_template: str) -> Sandbox:
    """A migrated database with a conversation and two messages, and a stand-in for Citus."""
    sandbox = await make_sandbox(migrated_template)
    await sandbox.run(STAND_IN)
    await sandbox.run("""
        INSERT INTO conversations (context_type) VALUES ('voice');
        INSERT INTO messages (conversation_id, role, content)
        SELECT id, 'user', content FROM conversations, unnest(ARRAY['hello', 'bye']) AS content;
        ANALYZE messages;
    """)
    return sandbox


async def _survey(sandbox: Sandbox, *, searches: bool = False) -> Survey:
    return await asyncio.to_thread(survey, sandbox.url, 8, searches=searches)


async def _distribute(sandbox: Sandbox) -> list[str]:
    """Distribute, and return the titles of the steps that were begun."""
    titles: list[str] = []
    await asyncio.to_thread(distribute, sandbox.url, 8, lambda step: titles.append(step.title))
    return titles


async def test_a_database_without_citus_is_told_how_to_get_it(
    make_sandbox: MakeSandbox, migrated_template: str
) -> None:
    found = await _survey(await make_sandbox(migrated_template))
    assert [sentence.split(":")[0] for sentence in found.blockers] == ["This database has no Citus"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE pg_dist_local_group SET groupid = 2", "leads to a worker"),
        ("UPDATE pg_dist_node SET shouldhaveshards = false", "has no worker that takes data"),
        (
            "UPDATE node_settings SET result = 'off' WHERE nodeid = 3",
            "would take no place in the record; it is not on these nodes of pg_dist_node: 3.",
        ),
        (
            "UPDATE node_settings SET result = 'on'",
            "citus.override_table_visibility must be off on each node",
        ),
        (
            "CREATE TABLE ratings (of_message UUID REFERENCES messages (id))",
            "The foreign key ratings_of_message_fkey leads from ratings to messages",
        ),
        (
            "CREATE TABLE users (id INT PRIMARY KEY); ALTER TABLE goals ADD by_user INT REFERENCES users (id)",
            "The foreign key goals_by_user_fkey leads from goals to users",
        ),
        (
            "ALTER TABLE conversations ADD code TEXT; CREATE UNIQUE INDEX by_code ON conversations (code)",
            "The index by_code of conversations is unique over all conversations",
        ),
        (
            """
            CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER noted AFTER INSERT ON messages EXECUTE FUNCTION note()
            """,
            "The trigger noted of messages is the host's",
        ),
    ],
)
async def test_what_is_in_the_way_is_a_sentence_that_says_what_to_change(
    cluster: Sandbox, change: str, words: str
) -> None:
    assert (await _survey(cluster)).blockers == []
    await cluster.run(change)
    [sentence] = (await _survey(cluster)).blockers
    assert words in sentence


async def test_a_service_that_searches_is_in_the_way(cluster: Sandbox) -> None:
    [sentence] = (await _survey(cluster, searches=True)).blockers
    assert "VERBATIM_SEARCH=false" in sentence


async def test_the_survey_changes_nothing_and_says_how_long_writers_wait(cluster: Sandbox) -> None:
    before = await cluster.catalogue()
    found = await _survey(cluster)
    assert await cluster.catalogue() == before
    assert (found.messages, found.writers_wait) == (2, 2 / 120_000)


async def test_each_conversation_is_placed_with_all_that_belongs_to_it(cluster: Sandbox) -> None:
    said = await cluster.checksum("messages")
    await _distribute(cluster)
    near = ("conversations", "erasures", "feed_shards", "messages", "voice_events", "voice_sessions")
    assert await cluster.rows(PLACED) == sorted(
        [
            *((name, "distributed", 8 if name == "conversations" else None) for name in near),
            ("voice_session_ids", "distributed", 8),
            ("deliveries", "distributed", None),
            ("stopped_orchestrators", "distributed", None),
            *(
                (name, "reference", 1)
                for name in (
                    *(
                        "audit_entries",
                        "conversation_holds",
                        "feed_servers_left",
                        "goals",
                        "message_words",
                        "message_words_b",
                        "search_progress",
                    ),
                    *("service_tokens", "tasks", "verbatim_alembic_version"),
                )
            ),
        ]
    )
    assert await cluster.value(KEY, "messages") == ["conversation_id", "id"]
    assert await cluster.value(KEY, "voice_sessions") == ["conversation_id", "id"]
    assert await cluster.value(KEY, "voice_events") == ["conversation_id", "voice_session_id", "id"]
    assert [name for [name] in await cluster.rows(TIES)] == [
        "conversations_linked_goal_id_fkey",
        "conversations_linked_task_id_fkey",
        "messages_conversation_id_fkey",
        "voice_events_voice_session_id_fkey",
        "voice_sessions_conversation_id_fkey",
    ]
    assert await cluster.checksum("messages") == said
    assert await cluster.rows("SELECT reached, uncommitted FROM verbatim_feed_ends()") == [(2, None)]


async def test_a_move_that_fails_moves_nothing_and_the_next_run_goes_on(cluster: Sandbox) -> None:
    await cluster.run("""
        ALTER TABLE citus_tables ADD CONSTRAINT away CHECK (table_name <> 'voice_events'::regclass)
    """)
    with pytest.raises(SetupError, match=r"stopped the distribution \(23514\).*goes on from there"):
        await _distribute(cluster)
    assert await cluster.rows(PLACED) == []
    assert await cluster.value(KEY, "messages") == ["id"]
    await cluster.run("ALTER TABLE citus_tables DROP CONSTRAINT away")
    await _distribute(cluster)
    assert len(await cluster.rows(PLACED)) == 19


async def test_once_distributed_only_what_new_nodes_need_is_done_again(cluster: Sandbox) -> None:
    await _distribute(cluster)
    placed = await cluster.rows(PLACED)
    again = await _distribute(cluster)
    assert not any("Copy" in title or "Build" in title for title in again)
    assert await cluster.rows(PLACED) == placed
    found = await _survey(cluster)
    assert (found.blockers, found.writers_wait) == ([], 0)


async def test_what_a_later_release_has_added_to_a_cluster_is_placed_by_the_next_run(cluster: Sandbox) -> None:
    await _distribute(cluster)
    placed, catalogue = await cluster.rows(PLACED), await cluster.catalogue()
    await cluster.run("""
        DELETE FROM citus_tables WHERE table_name IN ('conversation_holds'::regclass, 'audit_entries'::regclass);
        CREATE TRIGGER verbatim_forget_intents AFTER DELETE ON conversations
        FOR EACH ROW EXECUTE FUNCTION verbatim_forget_intents()
    """)
    assert "Place what a later release has added" in (await _survey(cluster)).steps
    await _distribute(cluster)
    assert (await cluster.rows(PLACED), await cluster.catalogue()) == (placed, catalogue)
    assert "Place what a later release has added" not in await _distribute(cluster)
