"""Salts of voice sessions are given once no process of the release before can be running any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.migrations.conftest import MakeSandbox

BEGIN = "INSERT INTO voice_sessions (id, conversation_id, provider) SELECT '{}', id, '' FROM conversations"
SINCE = "(regexp_match(prosrc, '''([^'']+)''::timestamptz'))[1]::timestamptz"


async def test_sessions_get_salts_a_day_after_the_migration_or_at_once_where_none_has_begun(
    make_sandbox: MakeSandbox,
) -> None:
    old, new = await make_sandbox(), await make_sandbox()
    await old.upgrade("0019")
    await new.upgrade()
    for sandbox in (old, new):
        await sandbox.run("INSERT INTO conversations (context_type) VALUES ('voice')")
    await old.run(BEGIN.format("before"))
    await old.upgrade()
    for sandbox in (old, new):
        await sandbox.run(BEGIN.format("after"))
    assert await old.value("SELECT count(salt) FROM voice_sessions") == 0
    assert await new.value("SELECT count(salt) FROM voice_sessions") == 1
    wait = f"SELECT {SINCE} - now() FROM pg_proc WHERE proname = 'verbatim_give_salt'"
    assert await old.value(f"SELECT ({wait}) BETWEEN interval '23 hours' AND interval '24 hours'")
