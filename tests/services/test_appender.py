import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from backend.dao_service.append_dao import AppendConnection, NewMessage, StoredMessage
from backend.dao_service.connection.database import Database
from backend.embedded_postgres import EmbeddedPostgres
from backend.errors import (
    Busy,
    ConversationNotFound,
    DatabaseUnavailable,
    MessageIdReused,
    NotRecorded,
    Unavailable,
)
from backend.observability import metrics
from backend.principal import LOCAL, PERSONAL, Principal
from backend.schemas.message import MessageCreate
from backend.services.append_transaction import Outcome, Recorded
from backend.services.appender import MAX_WAITS, Appender
from backend.vocabulary import Enrichment
from tests import clusters
from tests.conftest import connect, open_conversation
from tests.waiting import PATIENCE, PAUSE
from verbatim_record.vocabulary import Role

pytestmark = pytest.mark.pooled


def said(conversation: UUID, content: str = "Hello.", **more: object) -> MessageCreate:
    return MessageCreate.model_validate(
        {"id": uuid4(), "conversation_id": conversation, "role": Role.USER, "content": content} | more
    )


def sequence(outcome: Outcome) -> int:
    return cast("Recorded", outcome).sequence


async def test_those_who_arrive_together_share_commits_and_keep_their_order(
    appender: Appender, connection: asyncpg.Connection
) -> None:
    conversations = [await open_conversation(connection) for _ in range(4)]
    answers = await asyncio.gather(
        *(appender.append(LOCAL, [said(conversations[number % 4], str(number))]) for number in range(400))
    )
    assert [sequence(outcome) for [outcome] in answers] == [number // 4 + 1 for number in range(400)]
    assert await connection.fetchval("SELECT count(DISTINCT xmin::text) FROM messages") < 10
    rows = await connection.fetch("SELECT content FROM messages ORDER BY created_at, sequence")
    assert [row["content"] for row in rows] == [str(number) for number in range(400)]
    counters = await connection.fetch("SELECT last_sequence FROM conversations")
    assert [row["last_sequence"] for row in counters] == [100] * 4


async def test_two_appenders_and_a_plain_program_make_one_dense_sequence(
    appender: Appender, database: Database, connection: asyncpg.Connection
) -> None:
    conversations = [await open_conversation(connection) for _ in range(5)]
    other = Appender(database)
    other.start()

    async def insert_plainly() -> None:
        for number in range(40):
            await connection.execute(
                "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', 'plain')",
                conversations[number % 5],
            )

    async def append(through: Appender, turn: int) -> None:
        for number in range(40):
            # Several conversations in one call, in an order of the caller's own.
            order = conversations[(number + turn) % 5 :] + conversations[: (number + turn) % 5]
            outcomes = await through.append(LOCAL, [said(conversation) for conversation in order])
            assert all(isinstance(outcome, Recorded) for outcome in outcomes)

    await asyncio.gather(*(append((appender, other)[turn % 2], turn) for turn in range(4)), insert_plainly())
    await other.close()
    for conversation in conversations:
        rows = await connection.fetch(
            "SELECT sequence FROM messages WHERE conversation_id = $1 ORDER BY created_at, sequence", conversation
        )
        assert [row["sequence"] for row in rows] == list(range(1, 4 * 40 + 8 + 1))


async def test_a_refusal_touches_no_neighbour(appender: Appender, conversation: UUID) -> None:
    missing = uuid4()
    answers = await asyncio.gather(
        *(appender.append(LOCAL, [said(missing if number % 3 == 0 else conversation)]) for number in range(30))
    )
    for number, [outcome] in enumerate(answers):
        assert isinstance(outcome, ConversationNotFound if number % 3 == 0 else Recorded)
    assert sorted(sequence(outcome) for [outcome] in answers if isinstance(outcome, Recorded)) == list(range(1, 21))


async def test_a_message_sent_to_a_conversation_of_another_owner_in_the_same_commit_learns_and_changes_nothing(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("UPDATE conversations SET user_id = 'minh'")
    message = said(conversation)
    callers = [Principal(subject, PERSONAL) for subject in ("lan", "minh", "lan")]
    answers = await asyncio.gather(*(appender.append(caller, [message]) for caller in callers))
    assert [type(outcome) for [outcome] in answers] == [ConversationNotFound, Recorded, ConversationNotFound]


async def test_a_message_twice_in_one_commit_is_recorded_once_and_compared_with_the_first(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    message, elsewhere = said(conversation), await open_conversation(connection)
    changed = [message.model_copy(update=each) for each in ({"content": "Bye."}, {"conversation_id": elsewhere})]
    first, second, other, stranger, next_one = await appender.append(
        LOCAL, [message, message, *changed, said(conversation)]
    )
    assert isinstance(second, Recorded)
    assert (sequence(first), second.sequence, second.replayed, sequence(next_one)) == (1, 1, True, 2)
    assert isinstance(other, MessageIdReused)
    assert other.differing == ("content",)
    assert isinstance(stranger, MessageIdReused)
    assert stranger.differing == ("conversation_id",)


@pytest.mark.parametrize("added", [*Enrichment])
async def test_a_message_to_whose_metadata_a_voice_session_has_added_is_still_the_same(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID, added: Enrichment
) -> None:
    message = said(conversation, voice_session_id="vs_0123456789abcdef", metadata={"languages": ["vi"]})
    await appender.append(LOCAL, [message])
    await connection.execute("UPDATE messages SET metadata = metadata || jsonb_build_object($1::text, 1)", added)
    [again] = await appender.append(LOCAL, [message])
    assert isinstance(again, Recorded)
    assert again.replayed


@pytest.mark.parametrize("when", ["at once", "at commit"])
async def test_a_message_that_the_database_refuses_is_never_acknowledged_and_takes_nobody_with_it(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID, when: str
) -> None:
    kind, timing = ("CONSTRAINT", "DEFERRABLE INITIALLY DEFERRED") if when == "at commit" else ("", "")
    await connection.execute(
        f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.content = 'unwanted' THEN RAISE check_violation; END IF; RETURN NULL; END $$;
        CREATE {kind} TRIGGER refuse AFTER INSERT ON messages {timing} FOR EACH ROW EXECUTE FUNCTION refuse()
        """
    )
    contents = ["one", "unwanted", "two", "unwanted", "three"]
    answers = await asyncio.gather(*(appender.append(LOCAL, [said(conversation, content)]) for content in contents))
    batch = await appender.append(LOCAL, [said(conversation, content) for content in contents])

    for outcomes in ([outcome for [outcome] in answers], batch):
        assert [isinstance(outcome, NotRecorded) for outcome in outcomes] == [False, True, False, True, False]
    rows = await connection.fetch("SELECT sequence, content FROM messages ORDER BY sequence")
    assert [tuple(row) for row in rows] == list(enumerate(["one", "two", "three"] * 2, start=1))


async def test_no_message_overtakes_one_that_must_be_sent_again(
    appender: Appender, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit is halved for a rule of the host's, and of its first half a message must be sent again."""
    commit = appender._commit

    async def lose_the_first(messages: list[NewMessage], lock: float | None = None) -> list[Outcome | None]:
        if len(messages) > 2:
            raise asyncpg.CheckViolationError
        return [Busy("")] * 2 if messages[0].content == "one" else await commit(messages, lock=lock)

    monkeypatch.setattr(appender, "_commit", lose_the_first)
    outcomes = await appender.append(LOCAL, [said(conversation, word) for word in ("one", "two", "three", "four")])
    assert all(isinstance(outcome, Busy) for outcome in outcomes)


async def test_messages_of_a_locked_conversation_keep_their_order_when_the_lock_is_gone(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    other = await open_conversation(connection)
    holding = connection.transaction()
    await holding.start()
    await connection.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation)
    callers = []
    for number in range(5):
        callers.append(asyncio.create_task(appender.append(LOCAL, [said(conversation, str(number))])))
        await appender.append(LOCAL, [said(other)])  # a commit in between, which finds the conversation locked
    await holding.rollback()
    assert [sequence(outcome) for [outcome] in await asyncio.gather(*callers)] == [1, 2, 3, 4, 5]


async def test_no_message_overtakes_one_of_which_nobody_knows(
    appender: Appender, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit is tried singly, and of its first message nobody knows whether it was stored."""
    commit = appender._commit

    async def lose_the_first(messages: list[NewMessage], lock: float | None = None) -> list[Outcome | None]:
        if len(messages) > 1:
            raise asyncpg.CheckViolationError
        return [DatabaseUnavailable()] if messages[0].content == "one" else await commit(messages, lock=lock)

    monkeypatch.setattr(appender, "_commit", lose_the_first)
    outcomes = await appender.append(LOCAL, [said(conversation, word) for word in ("one", "two", "three")])
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)


async def test_a_conversation_that_somebody_locks_holds_up_no_other(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    other = await open_conversation(connection)
    async with connection.transaction():
        await connection.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation)
        answers = await asyncio.gather(
            *(appender.append(LOCAL, [said(somewhere)]) for somewhere in (conversation, other, uuid4()))
        )
    [busy], [recorded], [missing] = answers
    assert isinstance(busy, Busy)
    assert isinstance(recorded, Recorded)
    assert isinstance(missing, ConversationNotFound)
    [now] = await appender.append(LOCAL, [said(conversation)])
    assert sequence(now) == 1


async def test_a_caller_that_goes_away_stops_nothing(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    callers = [asyncio.create_task(appender.append(LOCAL, [said(conversation, str(number))])) for number in range(20)]
    await callers[0]
    for caller in callers[1::2]:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    [last] = await appender.append(LOCAL, [said(conversation)])
    assert sequence(last) == 21
    assert await connection.fetchval("SELECT count(*) FROM messages") == 21


async def test_closing_finishes_what_was_taken_and_takes_no_more(
    database: Database, connection: asyncpg.Connection, conversation: UUID
) -> None:
    appender = Appender(database)
    appender.start()
    callers = [asyncio.create_task(appender.append(LOCAL, [said(conversation)])) for _ in range(50)]
    await asyncio.sleep(0)
    await appender.close()
    await appender.close()
    assert all(isinstance(outcome, Recorded) for [outcome] in await asyncio.gather(*callers))
    assert await connection.fetchval("SELECT count(*) FROM messages") == 50
    with pytest.raises(Busy):
        await appender.append(LOCAL, [said(conversation)])


async def test_closing_that_runs_out_of_patience_answers_what_is_in_hand_and_what_waits(
    database: Database, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.appender.TRANSACTION_SECONDS", 0.1)
    begun = asyncio.Event()

    async def hang(*_: object) -> list[Outcome | None]:
        begun.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    monkeypatch.setattr(Appender, "_commit", hang)
    appender = Appender(database)
    appender.start()
    in_hand = asyncio.create_task(appender.append(LOCAL, [said(conversation)]))
    await begun.wait()
    waiting = asyncio.create_task(appender.append(LOCAL, [said(conversation)]))
    await asyncio.sleep(0)
    await appender.close()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(DatabaseUnavailable):  # nobody knows whether it was stored
            await in_hand
        with pytest.raises(Busy):
            await waiting


async def test_one_message_of_five_hundred_that_is_refused_is_found_in_a_few_transactions(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute("ALTER TABLE messages ADD CONSTRAINT theirs CHECK (content <> 'unwanted')")
    transactions: list[int] = []
    append = AppendConnection.append

    async def count(
        self: AppendConnection, messages: Sequence[NewMessage], *, lock: float | None
    ) -> dict[int, StoredMessage | None]:
        transactions.append(len(messages))
        return await append(self, messages, lock=lock)

    monkeypatch.setattr(AppendConnection, "append", count)
    outcomes = await appender.append(
        LOCAL, [said(conversation, "unwanted" if number == 321 else str(number)) for number in range(500)]
    )
    assert [number for number, each in enumerate(outcomes) if not isinstance(each, Recorded)] == [321]
    assert isinstance(outcomes[321], NotRecorded)
    assert len(transactions) < 25
    contents = await connection.fetch("SELECT content FROM messages ORDER BY sequence")
    assert [row[0] for row in contents] == [str(number) for number in range(500) if number != 321]


async def test_a_locked_table_is_busy_for_everybody_and_not_a_refusal(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    async with connection.transaction():
        await connection.execute("LOCK TABLE messages IN SHARE MODE")
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*(appender.append(LOCAL, [said(conversation)]) for _ in range(10)))
    assert {type(outcome) for [outcome] in answers} == {Busy}
    [after] = await appender.append(LOCAL, [said(conversation)])
    assert sequence(after) == 1


async def test_a_row_that_a_trigger_of_the_hosts_discards_leaves_no_hole_and_is_no_missing_conversation(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute(
        """
        CREATE FUNCTION discard() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.content = 'unwanted' THEN RETURN NULL; END IF; RETURN NEW; END $$;
        CREATE TRIGGER discard BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION discard()
        """
    )
    outcomes = await appender.append(LOCAL, [said(conversation, word) for word in ("one", "unwanted", "two")])
    assert [type(outcome) for outcome in outcomes] == [Recorded, NotRecorded, Recorded]
    rows = await connection.fetch("SELECT sequence FROM messages ORDER BY sequence")
    assert [row["sequence"] for row in rows] == [1, 2]


async def test_a_locked_conversation_costs_the_others_no_wait(
    appender: Appender, connection: asyncpg.Connection
) -> None:
    """One caller could lock many of its own; each used to hold up everybody for the length of a lock time-out."""
    other = await open_conversation(connection)
    conversations = [await open_conversation(connection) for _ in range(20)]
    async with connection.transaction():
        await connection.execute("SELECT FROM conversations WHERE id = ANY($1) FOR UPDATE", conversations)
        locked = [asyncio.create_task(appender.append(LOCAL, [said(each)])) for each in conversations]
        for _ in range(3):  # few, or on a busy machine the locked ones are given up meanwhile
            [outcome] = await appender.append(LOCAL, [said(other)])
            assert isinstance(outcome, Recorded)
        assert not any(task.done() for task in locked)
        assert all(isinstance(outcome, Busy) for [outcome] in await asyncio.gather(*locked))
    [free] = await appender.append(LOCAL, [said(conversations[0])])
    assert sequence(free) == 1


async def test_an_id_in_the_open_transaction_of_another_program_costs_the_others_little(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    """Every post used to wait four lock time-outs, and so did the next one with that id."""
    others = [await open_conversation(connection) for _ in range(20)]
    held = said(conversation)
    failures = metrics.COMMIT_FAILURES._value
    async with connection.transaction():
        await connection.execute(
            "INSERT INTO messages (id, conversation_id, role, content) VALUES ($1, $2, 'user', 'theirs')",
            held.id,
            others.pop(),
        )
        before = failures.get()
        answers = await asyncio.gather(
            *(appender.append(LOCAL, [held if place == 7 else said(each)]) for place, each in enumerate(others))
        )
        assert [isinstance(outcome, Busy) for [outcome] in answers] == [place == 7 for place in range(19)]
        assert failures.get() - before <= 6  # one whole wait, and short ones while 19 are halved
        before = failures.get()
        [busy], [recorded] = await asyncio.gather(
            appender.append(LOCAL, [held]), appender.append(LOCAL, [said(others[0])])
        )
        assert isinstance(busy, Busy)
        assert isinstance(recorded, Recorded)
        assert failures.get() == before


async def test_messages_are_acknowledged_although_it_cannot_be_read_which_conversations_were_erased(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    """They are stored by then, and those of a missing conversation are not."""
    places = [uuid4() if number % 2 else conversation for number in range(60)]
    async with connection.transaction():
        await connection.execute("LOCK TABLE erasures")
        outcomes = await appender.append(LOCAL, [said(place) for place in places])
    for place, outcome in zip(places, outcomes, strict=True):
        if place == conversation:
            assert isinstance(outcome, Recorded)
            assert not outcome.replayed
        else:
            assert isinstance(outcome, Busy)


async def test_nobody_is_told_that_nothing_was_stored_while_that_is_unknown(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit happens, its answer is lost, and before it can be asked for again somebody locks the conversation."""
    append, holding = AppendConnection.append, connection.transaction()

    async def commit_and_lose_the_answer(
        self: AppendConnection, messages: Sequence[NewMessage], *, lock: float | None
    ) -> None:
        monkeypatch.undo()
        await append(self, messages, lock=lock)
        await holding.start()
        await connection.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation)
        raise asyncpg.ConnectionDoesNotExistError

    monkeypatch.setattr(AppendConnection, "append", commit_and_lose_the_answer)
    [outcome] = await appender.append(LOCAL, [said(conversation)])
    await holding.rollback()
    assert isinstance(outcome, DatabaseUnavailable)


@pytest.mark.parametrize("look", ["parts", "look_again"])
@pytest.mark.parametrize("is_silent", [False, True], ids=["lost", "silent"])
async def test_an_outage_while_it_is_asked_how_the_record_is_placed_is_one_of_the_database(
    appender: Appender, conversation: UUID, monkeypatch: pytest.MonkeyPatch, look: str, *, is_silent: bool
) -> None:
    async def fail(*_: object) -> None:
        if is_silent:
            await asyncio.Event().wait()
        raise asyncpg.ConnectionDoesNotExistError

    async def distributed(*_: object, **__: object) -> None:
        raise asyncpg.FeatureNotSupportedError

    recorded = 0
    if look == "look_again":  # a commit after the first one looks again, but asks for no parts of a single server
        recorded = len(await appender.append(LOCAL, [said(conversation)]))
        monkeypatch.setattr(AppendConnection, "append", distributed)
    monkeypatch.setattr(AppendConnection, look, fail)
    if is_silent:
        monkeypatch.setattr("backend.services.appender.TRANSACTION_SECONDS", 0.05)
    with pytest.raises(DatabaseUnavailable):
        await appender.append(LOCAL, [said(conversation)])
    monkeypatch.undo()
    [outcome] = await appender.append(LOCAL, [said(conversation)])
    assert sequence(outcome) == recorded + 1


async def test_a_wait_for_a_standby_that_was_cancelled_is_unknown_and_not_yes(tmp_path: Path) -> None:
    with EmbeddedPostgres(clusters.prepare(tmp_path), durable=False) as server:
        connection = await connect(server.url)
        conversation = await open_conversation(connection)
        database = Database(server.url)
        appender = Appender(database)
        appender.start()
        await appender.append(LOCAL, [said(conversation)])
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await connection.execute("SELECT pg_reload_conf()")
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()"
        for _ in range(100):  # until the server has read its settings
            task = asyncio.create_task(appender.append(LOCAL, [said(conversation)]))
            while not task.done() and not await connection.fetchval(f"SELECT count(*) {waiting}"):
                await asyncio.sleep(PAUSE)
            if not task.done():
                break
        while not task.done():
            await connection.execute(f"SELECT pg_cancel_backend(pid) {waiting}")
        with pytest.raises(DatabaseUnavailable):
            await task
        await connection.close()
        await appender.close()
        await database.close()


async def test_when_too_much_waits_the_next_is_refused_and_what_waits_is_recorded(
    appender: Appender, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.services.append_queue.MAX_BYTES", 2_500)
    callers = [asyncio.create_task(appender.append(LOCAL, [said(conversation, "x" * 51)])) for _ in range(4)]
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(answer, Busy) for answer in answers] == [False, False, True, True]
    [after] = await appender.append(LOCAL, [said(conversation)])
    assert sequence(after) == 3


async def test_a_killed_connection_is_replaced_before_anybody_notices(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    for number in range(1, 6):
        [outcome] = await appender.append(LOCAL, [said(conversation)])
        assert sequence(outcome) == number
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )


async def test_a_table_may_change_under_a_prepared_statement(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    for column in ("one", "two"):
        [outcome] = await appender.append(LOCAL, [said(conversation)])
        assert isinstance(outcome, Recorded)
        await connection.execute(f"ALTER TABLE messages ADD COLUMN {column} TEXT DEFAULT 'x'")
        await connection.execute("ALTER TABLE messages ALTER COLUMN voice_session_id TYPE VARCHAR(300)")
        await connection.execute("ALTER TABLE messages ALTER COLUMN voice_session_id TYPE TEXT")
    known = said(conversation)
    [first] = await appender.append(LOCAL, [known])
    [again] = await appender.append(LOCAL, [known])
    assert isinstance(again, Recorded)
    assert again.replayed
    assert again.sequence == sequence(first)


async def test_an_outage_is_unknown_to_the_caller_and_over_when_the_database_is_back(tmp_path: Path) -> None:
    server = EmbeddedPostgres(clusters.prepare(tmp_path), durable=False)
    url = await asyncio.to_thread(server.start)
    connection = await connect(url)
    conversation = await open_conversation(connection)
    await connection.close()
    database = Database(url)
    appender = Appender(database)
    appender.start()
    try:
        known = said(conversation)
        await appender.append(LOCAL, [known])
        await asyncio.to_thread(server.stop)
        answers = await asyncio.gather(
            *(appender.append(LOCAL, [said(conversation)]) for _ in range(10)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {DatabaseUnavailable}
        assert all(isinstance(answer, Unavailable) and answer.retry_after for answer in answers)
        with pytest.raises(DatabaseUnavailable):
            async with database.driver_connection():
                pass
        await asyncio.to_thread(server.start)
        again, new = await appender.append(LOCAL, [known, said(conversation)])
        assert isinstance(again, Recorded)
        assert again.replayed
        assert sequence(new) == 2
    finally:
        await appender.close()
        await database.close()
        await asyncio.to_thread(server.stop)


async def test_a_message_for_which_a_trigger_misses_a_table_takes_no_other_with_it(
    appender: Appender, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF NEW.content = 'refuse' THEN INSERT INTO not_there VALUES (1); END IF; RETURN NEW; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()
    """)
    other = await open_conversation(connection)
    messages = [
        said(other, "good"),
        said(conversation, "refuse"),
        said(other, "after"),
        said(conversation, "behind it"),
    ]
    outcomes = await appender.append(LOCAL, messages)
    assert [type(outcome) for outcome in outcomes] == [Recorded, DatabaseUnavailable, Recorded, DatabaseUnavailable]


async def test_while_the_schema_is_an_old_one_few_messages_are_tried_alone(
    appender: Appender, connection: asyncpg.Connection
) -> None:
    conversations = [await open_conversation(connection) for _ in range(64)]
    await connection.execute("ALTER TABLE messages RENAME COLUMN input_modality TO modality")
    failures = metrics.COMMIT_FAILURES._value.get()
    with pytest.raises(DatabaseUnavailable):
        await appender.append(LOCAL, [said(each) for each in conversations])
    assert metrics.COMMIT_FAILURES._value.get() - failures <= 2 * MAX_WAITS
