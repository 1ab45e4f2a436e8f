"""The nodes of a cluster, as the checks see them; here a stand-in answers for three of them."""

import json

import asyncpg
import pytest

from backend.dao_service.connection.database import Database
from backend.dao_service.schema_dao import Durability, NodeState
from backend.dao_service.schema_revision import SCHEMA_REVISION
from backend.services import database_checks, durability, health
from backend.services.database_checks import Part
from backend.services.durability import NodeReport, Survives

SAFE = Durability("on", "on", "on", "", 0, 0)
GUARDED = SAFE._replace(synchronous_standby_names="*", standbys=1, synchronous=1)
# The insert of a check would reach the node that is away.
STAND_IN = """
    CREATE TABLE feed_shards (conversation_id UUID PRIMARY KEY);
    CREATE TABLE answers (nodeid int, success boolean, result text);
    CREATE FUNCTION run_command_on_all_nodes(command text, give_warning_for_connection_errors boolean)
    RETURNS TABLE (nodeid int, success boolean, result text)
    LANGUAGE sql AS 'SELECT * FROM answers WHERE command LIKE ''%fsync%'' ';
    CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION USING ERRCODE = '08006', MESSAGE = 'connection to the node failed'; END $$;
    CREATE TRIGGER away BEFORE INSERT ON messages EXECUTE FUNCTION away();
"""


@pytest.fixture
async def cluster(connection: asyncpg.Connection) -> asyncpg.Connection:
    await connection.execute(STAND_IN)
    await connection.executemany(
        "INSERT INTO answers VALUES ($1, $2, $3)",
        [(1, True, json.dumps(SAFE)), (2, True, json.dumps(GUARDED)), (3, False, "could not connect")],
    )
    return connection


@pytest.mark.usefixtures("cluster")
async def test_a_node_that_is_away_is_named_and_the_service_stays_ready(database: Database) -> None:
    found = await database_checks.examine(database, SCHEMA_REVISION)
    assert [found.word(part) for part in Part] == ["ok"] * 3
    assert durability.nodes(found.nodes) == [
        NodeReport(1, Survives.CRASH),
        NodeReport(2, Survives.LOSS),
        NodeReport(3, None),
    ]
    faults = (await health.check(database, SCHEMA_REVISION)).faults
    [fault] = [each for each in faults if each.startswith("Node")]
    assert fault.startswith("Node 3 of the cluster does not answer")


async def test_a_single_server_has_no_nodes(database: Database) -> None:
    assert (await database_checks.examine(database, SCHEMA_REVISION)).nodes == []


def test_what_a_node_can_lose_is_said_of_it() -> None:
    [fault] = durability.node_faults([NodeState(2, SAFE._replace(fsync="off"))])
    assert fault.startswith("Node 2 of the cluster: PostgreSQL runs with fsync = off")
