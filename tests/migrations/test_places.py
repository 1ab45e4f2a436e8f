"""Every message has its place, whoever writes it, and however."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import asyncpg
import pytest

if TYPE_CHECKING:
    from tests.migrations.conftest import MakeSandbox, Sandbox

SAY = "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', $2)"


@pytest.fixture
async def record(make_sandbox: MakeSandbox, migrated_template: str) -> Sandbox:
    return await make_sandbox(migrated_template)


async def _open(record: Sandbox, number: int = 1) -> list[UUID]:
    ids = sorted(uuid4() for _ in range(number))
    async with record.connect() as connection:
        await connection.executemany(
            "INSERT INTO conversations (id, context_type) VALUES ($1, 'voice')", [(i,) for i in ids]
        )
    return ids


async def test_plain_inserts_one_by_one_are_numbered_as_they_come(record: Sandbox) -> None:
    [conversation] = await _open(record)
    async with record.connect() as connection:
        for word in "abc":
            await connection.execute(SAY, conversation, word)
    assert await record.rows("SELECT sequence, content FROM messages ORDER BY 1") == [(1, "a"), (2, "b"), (3, "c")]
    assert await record.faults() == []


async def test_many_rows_for_several_conversations_in_one_insert_are_numbered_each(record: Sandbox) -> None:
    first, second = await _open(record, 2)
    async with record.connect() as connection:
        await connection.execute(
            "INSERT INTO messages (conversation_id, role, content) "
            "VALUES ($1, 'user', 'a'), ($2, 'user', 'b'), ($1, 'assistant', 'c'), ($2, 'assistant', 'd')",
            first,
            second,
        )
    rows = await record.rows("SELECT conversation_id, sequence, content FROM messages ORDER BY 1, 2")
    assert rows == [(first, 1, "a"), (first, 2, "c"), (second, 1, "b"), (second, 2, "d")]
    assert await record.faults() == []


async def test_an_id_that_is_there_already_leaves_no_hole(record: Sandbox) -> None:
    [conversation] = await _open(record)
    known = uuid4()
    say = (
        "INSERT INTO messages (id, conversation_id, role, content) VALUES ($1, $2, 'user', 'x') ON CONFLICT DO NOTHING"
    )
    async with record.connect() as connection:
        await connection.execute(say, known, conversation)
        await connection.execute(say, known, conversation)
        await connection.executemany(say, [(known, conversation), (uuid4(), conversation), (known, conversation)])
        await connection.execute(
            "INSERT INTO messages (id, conversation_id, role, content) "
            "VALUES ($1, $2, 'user', 'x'), (gen_random_uuid(), $2, 'user', 'y') ON CONFLICT DO NOTHING",
            known,
            conversation,
        )
    assert await record.value("SELECT array_agg(sequence ORDER BY sequence) FROM messages") == [1, 2, 3]
    assert await record.faults() == []


async def test_a_transaction_that_is_taken_back_leaves_no_hole(record: Sandbox) -> None:
    [conversation] = await _open(record)
    async with record.connect() as connection:
        await connection.execute(SAY, conversation, "a")
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(SAY, conversation, "lost")
        await transaction.rollback()
        await connection.execute(SAY, conversation, "b")
    assert await record.faults() == []


async def test_copy_takes_places_too(record: Sandbox) -> None:
    conversations = await _open(record, 3)
    lines = [(conversations[n % 3], "user", f"line {n}") for n in range(300)]
    async with record.connect() as connection:
        await connection.copy_records_to_table(
            "messages", records=lines, columns=["conversation_id", "role", "content"]
        )
    assert await record.value("SELECT count(*) FROM messages") == 300
    assert await record.faults() == []
    assert await record.rows(
        "SELECT content FROM messages WHERE conversation_id = $1 ORDER BY sequence LIMIT 3", conversations[0]
    ) == [("line 0",), ("line 3",), ("line 6",)]


async def test_explicit_places_move_the_counter_and_plain_inserts_go_on_after_them(record: Sandbox) -> None:
    first, second = await _open(record, 2)
    async with record.connect() as connection:
        await connection.execute(
            "INSERT INTO messages (conversation_id, role, content, sequence) "
            "SELECT id, 'user', 'x', place FROM unnest($1::uuid[]) AS id, generate_series(1, 5) AS place",
            [second, first],
        )
        await connection.execute(SAY, first, "after")
    assert await record.rows("SELECT id, last_sequence FROM conversations ORDER BY id") == [(first, 6), (second, 5)]


async def test_eight_writers_at_once_get_dense_places_in_the_order_of_their_commits(record: Sandbox) -> None:
    conversations = await _open(record, 3)
    seen: list[tuple[int, int]] = []  # the order in which commits were answered, per conversation

    async def write(writer: int) -> None:
        async with record.connect() as connection:
            for turn in range(30):
                conversation = conversations[(writer + turn) % 3]
                async with connection.transaction():
                    place = await connection.fetchval(SAY + " RETURNING sequence", conversation, f"{writer}-{turn}")
                    # Nobody else can have committed a later place while this one is open.
                    top = await connection.fetchval(
                        "SELECT max(sequence) FROM messages WHERE conversation_id = $1", conversation
                    )
                    seen.append((place, top))

    await asyncio.gather(*(write(writer) for writer in range(8)))
    assert len(seen) == 240
    assert all(place == top for place, top in seen)
    assert await record.faults() == []
    assert await record.value("SELECT count(*) FROM messages") == 240


async def test_created_at_rises_with_sequence_and_is_the_timestamp_where_none_was_given(record: Sandbox) -> None:
    [conversation] = await _open(record)

    async def write() -> None:
        async with record.connect() as connection:
            for _ in range(10):
                async with connection.transaction():
                    for _ in range(3):
                        await connection.execute(SAY, conversation, "x")

    await asyncio.gather(*(write() for _ in range(4)))
    async with record.connect() as connection:
        await connection.execute(
            "INSERT INTO messages (conversation_id, role, content) SELECT $1, 'user', 'x' FROM generate_series(1, 50)",
            conversation,
        )
    rows = await record.rows('SELECT created_at, "timestamp" FROM messages ORDER BY sequence')
    assert [created for created, _ in rows] == sorted({created for created, _ in rows})
    assert all(created == said for created, said in rows)


async def test_times_that_a_writer_names_are_kept(record: Sandbox) -> None:
    [conversation] = await _open(record)
    async with record.connect() as connection:
        await connection.execute(
            "INSERT INTO messages (conversation_id, role, content, created_at) VALUES ($1, 'user', 'x', '2020-01-01Z')",
            conversation,
        )
        await connection.execute(
            "INSERT INTO messages (conversation_id, role, content, timestamp) VALUES ($1, 'user', 'y', '2021-01-01Z')",
            conversation,
        )
    rows = await record.rows(
        "SELECT created_at < '2020-01-02', extract(year FROM timestamp)::int FROM messages ORDER BY sequence"
    )
    assert rows == [(True, 2020), (False, 2021)]


async def test_a_writer_needs_no_rights_but_to_insert(record: Sandbox) -> None:
    [conversation] = await _open(record)
    role = f"scribe_{uuid4().hex}"
    async with record.connect() as connection:
        await connection.execute(f"CREATE ROLE {role}; GRANT INSERT ON messages TO {role}; SET ROLE {role}")
        await connection.execute(SAY, conversation, "x")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT * FROM messages")
        await connection.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")
    assert await record.faults() == []


async def test_nobody_else_can_use_the_trigger_functions_for_tables_of_their_own(record: Sandbox) -> None:
    role = f"stranger_{uuid4().hex}"
    async with record.connect() as connection:
        await connection.execute(
            f"CREATE ROLE {role}; CREATE SCHEMA theirs AUTHORIZATION {role}; SET ROLE {role};"
            "CREATE TABLE theirs.bait (conversation_id uuid, sequence bigint)"
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "CREATE TRIGGER t AFTER INSERT ON theirs.bait REFERENCING NEW TABLE AS added "
                "FOR EACH STATEMENT EXECUTE FUNCTION public.verbatim_advance_counter()"
            )
        await connection.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")


async def test_the_hosts_own_triggers_still_find_their_tables(record: Sandbox) -> None:
    """They run inside our UPDATE of the counter, with the search_path of whoever writes."""
    [conversation] = await _open(record)
    await record.run("""
        CREATE TABLE audit (conversation uuid);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO audit VALUES (NEW.id); RETURN NEW; END $$;
        CREATE TRIGGER note BEFORE UPDATE ON conversations FOR EACH ROW EXECUTE FUNCTION note();
    """)
    async with record.connect() as connection:
        await connection.execute(SAY, conversation, "x")
    assert await record.value("SELECT count(*) FROM audit") == 1


async def test_a_message_for_no_conversation_is_refused_by_the_foreign_key(record: Sandbox) -> None:
    async with record.connect() as connection:
        with pytest.raises(asyncpg.ForeignKeyViolationError) as refused:
            await connection.execute(SAY, uuid4(), "x")
    assert refused.value.constraint_name == "messages_conversation_id_fkey"


@pytest.mark.parametrize(
    ("constraint", "column", "value"),
    [
        ("messages_content_size_check", "content", "repeat('é', 524289)"),
        ("messages_metadata_object_check", "metadata", "'[]'"),
        ("messages_metadata_object_check", "metadata", "'null'"),
        ("messages_metadata_size_check", "metadata", "jsonb_build_object('a', repeat('x', 65536))"),
        ("messages_metadata_readable_check", "metadata", """'{"n": 1e5000}'"""),
        (
            "messages_metadata_readable_check",
            "metadata",
            "('{\"n\": ' || repeat('[', 33) || repeat(']', 33) || '}')::jsonb",
        ),
        ("messages_readable_times_check", "created_at", "'infinity'"),
        ("messages_readable_times_check", '"timestamp"', "'0001-01-01 BC'"),
        ("messages_sequence_check", "sequence", "0"),
        ("messages_role_check", "role", "'narrator'"),
        ("messages_input_modality_check", "input_modality", "'telepathy'"),
    ],
)
async def test_rules_bind_every_writer(record: Sandbox, constraint: str, column: str, value: str) -> None:
    [conversation] = await _open(record)
    values = {"role": "'user'", "content": "'x'", column: value}
    async with record.connect() as connection:
        with pytest.raises(asyncpg.CheckViolationError) as refused:
            await connection.execute(
                f"INSERT INTO messages (conversation_id, {', '.join(values)}) SELECT $1, {', '.join(values.values())}",
                conversation,
            )
    assert refused.value.constraint_name == constraint
