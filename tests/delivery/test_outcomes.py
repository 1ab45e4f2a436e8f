"""The table tells the truth: whatever comes of an attempt, and whatever happens to whoever makes it."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import cycle, islice, repeat
from uuid import UUID

import pytest
from pydantic import SecretStr

from backend.dao_service.connection.database import Database
from backend.delivery import Orchestrator, OrchestratorEndpoint, dispatcher
from backend.delivery.schedule import SCHEDULE, wait_after
from backend.principal import LOCAL
from backend.schemas.delivery import webhook_id
from backend.schemas.intent import IntentPut
from backend.services import deliveries, intents
from backend.services.deliveries import Outcome
from backend.services.intents import Replaceable
from backend.services.outbox import Outbox
from backend.vocabulary import DeliveryState, Intent
from tests.conftest import open_conversation
from tests.delivery.conftest import Table, dispatching
from tests.orchestrator_stand_in import SECRET, OrchestratorStandIn
from tests.waiting import PATIENCE, until_found
from verbatim_record.ids import new_id

AT_ONCE = [timedelta(0)] * 100
IN_TWO_HOURS = "in two hours"


def carrying(
    database: Database, url: str, schedule: Sequence[timedelta] = SCHEDULE
) -> AbstractAsyncContextManager[Outbox]:
    return dispatching(database, endpoint(url), schedule)


def endpoint(url: str, *, private: bool = True) -> OrchestratorEndpoint:
    return OrchestratorEndpoint(url, (SecretStr(SECRET),), 30, private)


async def put(database: Database, conversation: UUID, outbox: Outbox, number: int = 1) -> UUID:
    """Set an intent, the first of a conversation or a later one, and return its delivery."""
    wanted = IntentPut(intent=Intent.NEW_TASK, payload={"number": number})
    anything: Replaceable | None = (lambda _: None) if number > 1 else None
    standing = await intents.put(database, LOCAL, conversation, wanted, replaceable=anything, outbox=outbox)
    assert standing.delivery_id
    return standing.delivery_id


@pytest.mark.parametrize(
    ("status", "asked", "seconds"),
    [
        (503, IN_TWO_HOURS, 7200),
        (429, "9" * 30, 24 * 3600),
        (503, "0", 5),
        (503, "tomorrow", 5),
        (500, "7200", 5),
    ],
)
async def test_only_who_is_busy_makes_a_wait_longer_and_none_makes_it_endless_or_shorter(
    database: Database, table: Table, listener: OrchestratorStandIn, *, status: int, asked: str, seconds: int
) -> None:
    if asked == IN_TWO_HOURS:  # from now on, not from when the tests were collected
        asked = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    listener.behaviours = iter([(status, {"retry-after": asked})])
    async with carrying(database, listener.url) as outbox:
        await put(database, await open_conversation(table.connection), outbox)
        await table.until("last_error IS NOT NULL")
    row = await table.only()
    assert (row["state"], row["attempts"], row["leased_until"], row["delivered_at"]) == ("pending", 1, None, None)
    assert seconds * 0.85 < row["wait"].total_seconds() < seconds * 1.15


@pytest.mark.parametrize(
    "written",
    [
        b"220 mail.example ESMTP\r\n" * 10,
        b"",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000,
        b"HTTP/1.1 20",
        b"\0" * 99,
    ],
    ids=["mail", "nothing", "headers without end", "half a status", "zeros"],
)
async def test_what_is_no_answer_at_all_is_no_more_than_a_failed_attempt(
    database: Database, table: Table, conversation: UUID, listener: OrchestratorStandIn, written: bytes
) -> None:
    listener.behaviours = iter([written])
    async with carrying(database, listener.url) as outbox:
        await put(database, conversation, outbox)
        await table.until("last_error IS NOT NULL")
    row = await table.only()
    assert (row["state"], row["last_status"]) == ("pending", None)
    assert row["last_error"] == "The connection to the orchestrator broke before it answered."


async def test_what_has_failed_does_not_stand_in_the_way_of_the_next(
    database: Database, table: Table, conversation: UUID, listener: OrchestratorStandIn
) -> None:
    listener.behaviours = iter([500] * 3)
    async with carrying(database, listener.url, AT_ONCE[:2]) as outbox:
        await put(database, conversation, outbox)
        await table.until("state = 'failed' AND attempts = 3")
        await put(database, conversation, outbox, 2)
        await table.until("state = 'delivered' AND attempts = 1")
    assert len(listener.told) == 4


async def test_who_wants_no_more_holds_what_waits_and_another_address_has_not_said_so(
    database: Database, table: Table, listener: OrchestratorStandIn
) -> None:
    conversations = [await open_conversation(table.connection) for _ in range(4)]
    listener.behaviours = iter([500, 410])
    async with carrying(database, listener.url) as outbox:
        waiting = await put(database, conversations[0], outbox)
        await table.until("last_error IS NOT NULL")
        told = await put(database, conversations[1], outbox)
        await table.until_all("state = 'held'")
        late = await put(database, conversations[2], outbox)
        assert await table.states() == dict.fromkeys((waiting, told, late), "held")
    async with carrying(database, f"{listener.url}/elsewhere") as elsewhere:
        other = await put(database, conversations[3], elsewhere)
        await table.until("state = 'delivered'")
    assert [told.id for told in listener.told] == [*map(webhook_id, (waiting, told, other))]


async def test_what_is_taken_although_it_was_held_meanwhile_is_delivered(
    database: Database, table: Table, listener: OrchestratorStandIn
) -> None:
    word = asyncio.Event()
    listener.behaviours = iter([word, 410])
    async with carrying(database, listener.url) as outbox:
        slow = await put(database, await open_conversation(table.connection), outbox)
        await listener.until(lambda: listener.told)
        gone = await put(database, await open_conversation(table.connection), outbox)
        await table.until_all("state = 'held'")
        word.set()
        await table.until("state = 'delivered'")
    assert await table.states() == {slow: "delivered", gone: "held"}


async def test_two_dispatchers_keep_the_order_of_each_conversation_whatever_fails(
    database: Database, database_url: str, table: Table, listener: OrchestratorStandIn
) -> None:
    conversations = [await open_conversation(table.connection) for _ in range(40)]
    nobody = Outbox(listener.url)  # is woken by this one
    queued = [await put(database, each, nobody, number) for number in range(1, 6) for each in conversations]
    answers = [204] * 6 + [500]
    listener.behaviours = cycle(answers)
    another = Database(database_url)
    async with (
        carrying(database, listener.url, AT_ONCE),
        carrying(another, listener.url, AT_ONCE),
    ):
        await table.until_all("state = 'delivered'")
    await another.close()
    taken = defaultdict(list)
    for told, status in zip(listener.told, islice(cycle(answers), len(listener.told)), strict=True):
        if status == 204:
            data = told.event["data"]
            taken[UUID(data["conversation_id"])].append(data["payload"]["number"])
    assert taken == {conversation: [1, 2, 3, 4, 5] for conversation in conversations}
    assert listener.times.keys() == {*map(webhook_id, queued)}
    assert len(listener.told) == await table.connection.fetchval("SELECT sum(attempts) FROM deliveries")


async def test_a_commit_that_fails_after_the_answer_means_that_it_is_told_again(
    database: Database, table: Table, conversation: UUID, listener: OrchestratorStandIn
) -> None:
    await table.connection.execute(
        """
        CREATE TABLE weather (fair BOOLEAN);
        INSERT INTO weather VALUES (false);
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.state = 'delivered' AND NOT (SELECT fair FROM weather) THEN RAISE check_violation; END IF;
            RETURN NULL;
        END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON deliveries DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse()
        """
    )
    async with carrying(database, listener.url) as outbox:
        delivery = await put(database, conversation, outbox)
        await listener.until(lambda: listener.told)
    row = await table.only()
    assert (row["state"], row["attempts"], row["last_status"], row["delivered_at"]) == ("pending", 1, None, None)
    assert row["leased_until"] > row["last_attempt_at"]

    await table.connection.execute("UPDATE weather SET fair = true")
    async with carrying(database, listener.url):
        await table.make_due()
        await table.until("state = 'delivered'")
    assert listener.times == {webhook_id(delivery): 2}
    assert (await table.only())["attempts"] == 2


async def test_what_cannot_be_written_down_now_is_written_down_later_and_not_told_again(
    database: Database, table: Table, conversation: UUID, listener: OrchestratorStandIn
) -> None:
    """Another program holds the row for longer than anybody here waits for a lock."""
    word = asyncio.Event()
    listener.behaviours = iter([word])
    async with carrying(database, listener.url) as outbox:
        delivery = await put(database, conversation, outbox)
        await listener.until(lambda: listener.told)
        async with asyncio.timeout(PATIENCE), table.connection.transaction():
            await table.connection.execute("SELECT FROM deliveries FOR UPDATE")
            word.set()
            for waits in (True, False):  # until somebody waits, and then has given up
                await until_found(table.connection, f"SELECT bool_or(NOT granted) IS {waits} FROM pg_locks")
        await table.until("state = 'delivered'")
    assert listener.times == {webhook_id(delivery): 1}
    assert (await table.only())["attempts"] == 1


async def test_a_dispatcher_that_stops_finishes_what_it_has_in_hand_and_claims_no_more(
    database: Database, table: Table, conversation: UUID, listener: OrchestratorStandIn
) -> None:
    word = asyncio.Event()
    listener.behaviours = iter([word])
    async with carrying(database, listener.url) as outbox:
        first = await put(database, conversation, outbox)
        await listener.until(lambda: listener.told)
        second = await put(database, conversation, outbox, 2)
        asyncio.get_running_loop().call_later(0.2, word.set)
    assert await table.states() == {first: "delivered", second: "pending"}
    assert listener.times == {webhook_id(first): 1}


async def test_a_dispatcher_that_stops_does_not_wait_for_ever(
    database: Database,
    table: Table,
    conversation: UUID,
    listener: OrchestratorStandIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher, "STOP_SECONDS", 0.1)
    listener.behaviours = repeat("hang")
    async with asyncio.timeout(PATIENCE), carrying(database, listener.url) as outbox:
        await put(database, conversation, outbox)
        await listener.until(lambda: listener.told)
    row = await table.only()
    assert (row["state"], row["attempts"], row["last_status"], row["last_error"]) == ("pending", 1, None, None)
    assert row["leased_until"] is not None


async def test_a_dispatcher_outlives_the_loss_of_its_connections(
    database: Database, table: Table, conversation: UUID, listener: OrchestratorStandIn
) -> None:
    word = asyncio.Event()
    listener.behaviours = iter([word])
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    async with carrying(database, listener.url) as outbox:
        first = await put(database, conversation, outbox)
        await listener.until(lambda: listener.told)
        assert await table.connection.fetchval(f"SELECT bool_and(pg_terminate_backend(pid, 5000)) {others}")
        word.set()
        await table.until("state = 'delivered'")
        second = await put(database, conversation, outbox, 2)
        await table.until_all("state = 'delivered'")
    assert listener.times == {webhook_id(first): 1, webhook_id(second): 1}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0", "2130706433"])
async def test_a_private_address_is_not_connected_to_whatever_it_is_called(
    listener: OrchestratorStandIn, host: str
) -> None:
    url = listener.url.replace("127.0.0.1", host)
    answer = await Orchestrator(endpoint(url, private=False)).send(new_id(), "{}")
    assert (answer.status, answer.error) == (
        None,
        "The host name of the orchestrator resolves to an address that is not public.",
    )
    assert listener.told == []


async def test_a_proxy_in_the_environment_is_passed_by(
    listener: OrchestratorStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await Orchestrator(endpoint(listener.url)).send(new_id(), "{}")).accepted


async def test_a_retry_during_the_last_attempt_has_the_whole_schedule_before_it(
    database: Database, table: Table, conversation: UUID
) -> None:
    outbox = Outbox("http://127.0.0.1:9/hook")
    delivery = await put(database, conversation, outbox)
    await table.connection.execute("UPDATE deliveries SET attempts = 9")
    [claimed] = await deliveries.claim(database, 1, timedelta(minutes=1))
    assert wait_after(claimed.attempt - claimed.spent, SCHEDULE, None) is None  # the last
    assert (await deliveries.retry(database, LOCAL, delivery, outbox)).state == DeliveryState.PENDING
    assert await deliveries.settle(database, outbox, claimed, Outcome(DeliveryState.FAILED, 500, "no"))
    assert (await table.only())["state"] == DeliveryState.PENDING
