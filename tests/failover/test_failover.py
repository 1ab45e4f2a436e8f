"""The primary dies and its standby takes over: what that costs, with and without waiting for the standby."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from fastapi import FastAPI

from backend.app import create_app
from tests.conftest import running, settings_for, utterance
from tests.failover.senders import talking
from tests.failover.servers import Node, Pair

SENDERS = 6
BEFORE = 300  # acknowledgements
AFTER = 300
DURING = 204

ROWS = """
    SELECT m.id::text, m.conversation_id::text, m.sequence, m.content, c.last_sequence
    FROM messages AS m JOIN conversations AS c ON c.id = conversation_id ORDER BY conversation_id, sequence
"""


def served(servers: Pair) -> FastAPI:
    return create_app(settings_for(servers.url, rate_limit_subject="1000000/minute"))


async def on_record(node: Node) -> list[dict[str, Any]]:
    connection = await node.connect()
    try:
        return [dict(row) for row in await connection.fetch(ROWS)]
    finally:
        await connection.close()


def places(rows: list[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row["conversation_id"], []).append(row["sequence"])
    return found


async def test_what_a_synchronous_standby_has_outlives_the_primary_and_senders_go_on(
    synchronous: Pair, record_property: Callable[[str, object], None]
) -> None:
    async with running(served(synchronous)) as service, talking(service, SENDERS) as talk:
        await talk.until(BEFORE)
        synchronous.primary.kill()
        await synchronous.standby.promote()
        promoted, before = time.monotonic(), len(talk.acknowledged)
        await talk.until(before + AFTER)

    rows = await on_record(synchronous.standby)
    stored = {row["id"]: row for row in rows}
    assert len(rows) == len(stored) == len(talk.acknowledged)
    for identity, message in talk.acknowledged.items():
        assert {key: stored[identity][key] for key in ("conversation_id", "sequence", "content")}.items() <= (
            message.items()
        )
    assert all(sequences == list(range(1, len(sequences) + 1)) for sequences in places(rows).values())
    assert all(row["last_sequence"] == len(places(rows)[row["conversation_id"]]) for row in rows)

    waited = min(moment for moment in talk.times if moment > promoted) - promoted
    # Measured: 0.95 s, since a sender that was refused waits a second.
    record_property("first acknowledgement, seconds after promotion", f"{waited:.2f}")


async def test_without_synchronous_standbys_what_came_over_a_cut_link_is_lost_with_the_primary(
    asynchronous: Pair,
) -> None:
    """What docs/guarantees.md says of it; nothing here could save those messages, and no other is lost."""
    async with running(served(asynchronous)) as service:
        async with talking(service, SENDERS) as talk:
            await talk.until(BEFORE)
        await asynchronous.cut_the_link()
        saved = set(talk.acknowledged)
        opened = places(await on_record(asynchronous.primary))
        lost = {
            (await talk.post("voice/messages", utterance(conversation)))["id"]  # type: ignore[arg-type]
            for _ in range(34)
            for conversation in opened
        }
        asynchronous.primary.kill()
        await asynchronous.standby.promote()

        rows = await on_record(asynchronous.standby)
        assert {row["id"] for row in rows} == saved
        assert not lost & {row["id"] for row in rows}
        for conversation, sequences in places(rows).items():
            said = await talk.post("voice/messages", utterance(UUID(conversation)))
            assert said["sequence"] == len(sequences) + 1
