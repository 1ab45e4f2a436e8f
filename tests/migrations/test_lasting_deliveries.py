"""Migration 0122: deliveries outlive their conversation, until the schema is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.migrations.conftest import Sandbox

CONVERSATIONS = """
    INSERT INTO conversations (id, context_type)
    SELECT md5(n::text)::uuid, 'voice' FROM generate_series(1, 3) AS n
"""
DELIVERIES = """
    INSERT INTO deliveries (id, conversation_id, type, version, body, state)
    SELECT md5(n::text)::uuid, md5(n::text)::uuid, 'conversation.ended', 'v', '{}', 'pending'
    FROM generate_series(1, 3) AS n
"""
# An erasure between two steps of the way back.
ERASURE = """
    CREATE FUNCTION erases() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM conversations WHERE id = md5('2')::uuid;
        RETURN NULL;
    END $$;
    CREATE TRIGGER erases AFTER DELETE ON deliveries
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION erases();
"""


async def test_the_way_back_removes_the_deliveries_of_what_was_erased_also_meanwhile(sandbox: Sandbox) -> None:
    await sandbox.upgrade()
    await sandbox.run(CONVERSATIONS)
    await sandbox.run(DELIVERIES)
    await sandbox.run("DELETE FROM conversations WHERE id = md5('1')::uuid")
    assert await sandbox.value("SELECT count(*) FROM deliveries") == 3
    await sandbox.run(ERASURE)
    await sandbox.downgrade("0121")
    assert await sandbox.value("SELECT count(*) FROM deliveries") == 1
    await sandbox.run("DELETE FROM conversations")
    assert await sandbox.value("SELECT count(*) FROM deliveries") == 0
