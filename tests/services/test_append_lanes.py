"""The lanes of the appender on a cluster of four parts; here one server stands in for all of its nodes."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from backend.dao_service.connection.database import Database
from backend.errors import Busy, DatabaseUnavailable, Unavailable
from backend.migrations.distribution import functions
from backend.principal import LOCAL
from backend.schemas.message import MessageCreate
from backend.services import append_lanes
from backend.services.append_lanes import AppendLanes
from backend.services.append_queue import MAX_BYTES, MAX_BYTES_PER_SUBJECT
from backend.services.append_transaction import Outcome, Recorded
from verbatim_record.vocabulary import Role

PARTS = 4
# The last digit of a conversation's id says its part.
STAND_IN = """
    CREATE TABLE pg_dist_shard (logicalrelid regclass, shardid bigint);
    INSERT INTO pg_dist_shard SELECT 'conversations', 100 + n FROM generate_series(0, 3) AS n;
    CREATE FUNCTION get_shard_id_for_distribution_column(regclass, id uuid) RETURNS bigint LANGUAGE sql
    AS $$ SELECT 100 + right(id::text, 1)::int % 4 $$;
    CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION USING ERRCODE = '08006', MESSAGE = 'connection to the node failed'; END $$;
"""
AWAY = """
    CREATE TRIGGER away BEFORE INSERT ON messages FOR EACH ROW
    WHEN (right(NEW.conversation_id::text, 1) = '1') EXECUTE FUNCTION away()
"""
CONVERSATIONS = [UUID(int=1_000 * 16 + part) for part in range(PARTS)]


def said(part: int, content: str = "Hello.") -> MessageCreate:
    return MessageCreate(conversation_id=CONVERSATIONS[part], role=Role.USER, content=content)


@pytest.fixture
async def lanes(database: Database, connection: asyncpg.Connection) -> AsyncIterator[AppendLanes]:
    """Lanes that have found out about the cluster, by a message to each conversation."""
    await connection.execute(STAND_IN)
    for statement in (functions.APPEND, functions.ADVANCE_COUNTER.replace("{schema}", "public")):
        await connection.execute(statement)
    await connection.executemany(
        "INSERT INTO conversations (id, context_type) VALUES ($1, 'voice')", [(each,) for each in CONVERSATIONS]
    )
    lanes = AppendLanes(database)
    lanes.start()
    await lanes.append(LOCAL, [said(part) for part in range(PARTS)])
    yield lanes
    await lanes.close()


def sequences(outcomes: list[Outcome]) -> list[int | None]:
    return [each.sequence if isinstance(each, Recorded) else None for each in outcomes]


async def test_each_message_is_recorded_by_the_lane_of_its_part_and_answered_in_its_place(lanes: AppendLanes) -> None:
    outcomes = await lanes.append(LOCAL, [said(part) for part in (3, 0, 1, 3, 2, 0)])
    assert sequences(outcomes) == [2, 2, 2, 3, 2, 3]
    assert lanes._others.keys() == {1, 2, 3}
    assert lanes.running
    assert not lanes.full


async def test_a_part_that_is_away_stops_its_own_messages_only(
    lanes: AppendLanes, connection: asyncpg.Connection
) -> None:
    await connection.execute(AWAY)
    outcomes = await lanes.append(LOCAL, [said(part) for part in (1, 0, 1, 2)])
    assert sequences(outcomes) == [None, 2, None, 2]
    assert isinstance(outcomes[0], Unavailable)
    with pytest.raises(DatabaseUnavailable):
        await lanes.append(LOCAL, [said(1)])
    await connection.execute("DROP TRIGGER away ON messages")
    assert sequences(await lanes.append(LOCAL, [said(1)])) == [2]


async def test_what_waits_in_all_lanes_together_is_bounded(lanes: AppendLanes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_lanes, "MAX_BYTES", 0)
    with pytest.raises(Busy):
        await lanes.append(LOCAL, [said(0)])


async def test_messages_that_wait_for_one_part_leave_room_for_the_others(
    lanes: AppendLanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(part: int, own: int, size: int) -> None:
        monkeypatch.setattr(lanes._others[part], "waiting", lambda _: (own, size))

    await lanes.append(LOCAL, [said(1), said(2)])
    for own, size in ((0, MAX_BYTES // 2), (MAX_BYTES_PER_SUBJECT // 2, 1)):
        hold(1, own, size)
        outcomes = await lanes.append(LOCAL, [said(1), said(2)])
        assert isinstance(outcomes[0], Busy)
        assert isinstance(outcomes[1], Recorded)
        assert not lanes.full
    hold(1, 0, MAX_BYTES // 2)
    hold(2, 0, MAX_BYTES // 2)
    assert lanes.full


async def test_closed_lanes_take_no_message_and_none_is_opened(lanes: AppendLanes) -> None:
    await lanes.append(LOCAL, [said(2)])
    await lanes.close()
    assert not lanes.running
    for part in (2, 3):
        with pytest.raises(Busy):
            await lanes.append(LOCAL, [said(part)])
    assert lanes._others.keys() == {2}
