import asyncio
import json
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from backend.vocabulary import ContextType
from tests.conftest import open_conversation, utterance

CONVERSATIONS = "/api/v1/conversations"


@pytest.mark.parametrize("context_type", ContextType)
async def test_a_conversation_is_opened_and_read_back(service: httpx.AsyncClient, context_type: str) -> None:
    opened = await service.post(CONVERSATIONS, json={"context_type": context_type})
    assert opened.status_code == 201
    found = await service.get(opened.headers["location"])
    assert found.json() == opened.json()
    assert found.json()["context_type"] == context_type
    assert found.json()["message_count"] == 0
    assert "messages" not in found.json()


async def test_opening_twice_opens_once(service: httpx.AsyncClient) -> None:
    wanted = {"id": str(uuid4()), "context_type": "goal"}
    first, again = [await service.post(CONVERSATIONS, json=wanted) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["idempotency-replayed"] == "true"
    assert first.json() == again.json()

    other = await service.post(CONVERSATIONS, json=wanted | {"context_type": "task"})
    assert (other.status_code, other.json()["type"]) == (409, "/problems/conversation-id-reused")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/context_type"),
        ({"context_type": "chat"}, "/context_type"),
        ({"context_type": "voice", "id": "x\0"}, "/id"),
        ({"context_type": "voice", "user_id": ""}, "/user_id"),
        ({"context_type": "voice", "user_id": "x\0"}, "/user_id"),
        ({"context_type": "voice", "user_id": "x" * 256}, "/user_id"),
        ({"context_type": "voice", "contextType": "voice"}, "/contextType"),
        ({"context_type": "voice", "call the dentist": "voice"}, ""),
        ({"context_type": "voice", "x" * 41: "voice"}, ""),
        ({"context_type": "voice", "größe": "voice"}, ""),
        ({"context_type": "\ud800"}, "/context_type"),
        ([], ""),
    ],
)
async def test_a_conversation_of_another_form_is_refused(
    shared_service: httpx.AsyncClient, body: object, pointer: str
) -> None:
    headers = {"content-type": "application/json"}
    refused = await shared_service.post(CONVERSATIONS, content=json.dumps(body).encode(), headers=headers)
    assert refused.status_code == 422
    assert [fault["pointer"] for fault in refused.json()["errors"]] == [pointer]


def _deep(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


POISON = {
    "U+0000": "a\0b",
    "a lone surrogate": "a\ud800",
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "depth": _deep(500),
    "a huge number": 10**400,
    "a number": 7,
    "an object": {"a\ud800": "\0"},
    "a long text": "x" * 100_000,
}


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize(
    ("method", "fields"),
    [("POST", ["id", "context_type", "user_id"]), ("PATCH", ["linked_goal_id", "linked_task_id"])],
    ids=["opening", "linking"],
)
async def test_poison_in_any_field_is_refused_with_its_place(
    shared_service: httpx.AsyncClient, shared_conversation: UUID, method: str, fields: list[str], poison: str
) -> None:
    place = CONVERSATIONS if method == "POST" else f"{CONVERSATIONS}/{shared_conversation}"
    for field in fields:
        body = ({"context_type": "voice"} if method == "POST" else {}) | {field: POISON[poison]}
        headers = {"content-type": "application/json"}
        refused = await shared_service.request(method, place, content=json.dumps(body).encode(), headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/invalid")
        assert [fault["pointer"] for fault in refused.json()["errors"]] == [f"/{field}"]
    assert (await shared_service.get(f"{CONVERSATIONS}/{shared_conversation}")).status_code == 200


async def test_where_the_host_requires_more_only_the_host_opens_conversations(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("ALTER TABLE conversations ADD COLUMN tenant TEXT NOT NULL")
    refused = await service.post(CONVERSATIONS, json={"context_type": "voice"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/host-owns-conversations")
    assert "tenant" in refused.json()["detail"]


async def test_the_list_is_newest_first_and_its_pages_meet(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    opened = [str(await open_conversation(connection, word)) for word in ("voice", "goal", "voice", "task", "voice")]
    await connection.execute(
        "UPDATE conversations SET created_at = '2026-01-01T00:00:00Z' WHERE context_type = 'voice'"
    )

    seen: list[str] = []
    cursor, more = None, True
    while more:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await service.get(CONVERSATIONS, params=query)).json()
        seen += [row["id"] for row in page["data"]]
        cursor, more = page["next_cursor"], page["has_more"]
    tied = sorted((opened[0], opened[2], opened[4]), reverse=True)
    assert seen == [opened[3], opened[1], *tied]


@pytest.mark.pooled
async def test_the_list_can_be_narrowed(service: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    plain = await open_conversation(connection, "goal")
    goal = await connection.fetchval("INSERT INTO goals DEFAULT VALUES RETURNING id")
    rich = await connection.fetchval(
        "INSERT INTO conversations (context_type, extracted_intent, ended_at, linked_goal_id, voice_session_id)"
        " VALUES ('voice', 'GOAL', now(), $1, 'vs_1') RETURNING id",
        goal,
    )

    async def found(**query: object) -> set[UUID]:
        answer = await service.get(CONVERSATIONS, params={key: str(value) for key, value in query.items()})
        return {UUID(row["id"]) for row in answer.json()["data"]}

    assert await found() == {plain, rich}
    assert await found(context_type="goal") == {plain}
    assert await found(intent="GOAL") == {rich}
    assert await found(ended="true") == {rich}
    assert await found(ended="false") == {plain}
    assert await found(linked_goal_id=goal) == {rich}
    assert await found(linked_task_id=uuid4()) == set()
    assert await found(voice_session_id="vs_1", context_type="voice") == {rich}


@pytest.mark.parametrize(
    "change",
    [
        "intent_payload = '[1]'",
        "created_at = '20000-01-01'",
        "updated_at = '0044-03-15 BC'",
        "ended_at = 'infinity'",
        "ended_at = '-infinity'",
    ],
)
async def test_a_strange_row_of_the_hosts_hides_no_conversation(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, change: str
) -> None:
    await connection.execute(f"UPDATE conversations SET {change} WHERE id = $1", conversation)
    other = await open_conversation(connection)
    answer = await service.get(CONVERSATIONS)
    assert {row["id"] for row in answer.json()["data"]} == {str(conversation), str(other)}
    for row in answer.json()["data"]:
        assert all(row[time] is None or row[time].endswith("Z") for time in ("created_at", "updated_at", "ended_at"))
    assert (await service.get(f"{CONVERSATIONS}/{conversation}")).status_code == 200


@pytest.mark.pooled
async def test_conversations_are_narrowed_by_when_they_were_opened(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("UPDATE conversations SET created_at = '2026-01-31T09:00Z' WHERE id = $1", conversation)
    for name, time, found in (
        ("since", "2026-01-31T09:00:00Z", 1),
        ("since", "2026-01-31T09:00:01Z", 0),
        ("until", "2026-01-31T09:00:00Z", 0),
        ("until", "2026-01-31T16:00:01+07:00", 1),
    ):
        assert len((await service.get(CONVERSATIONS, params={name: time})).json()["data"]) == found
    for time in ("yesterday", "2026-01-31T09:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        refused = await service.get(CONVERSATIONS, params={"since": time})
        assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/query/since"]


FILTERS = [
    ({"intent": "GOAL"}, "idx_conversations_intent"),
    ({"linked_goal_id": str(UUID(int=7))}, "idx_conversations_goal"),
    ({"linked_task_id": str(UUID(int=7))}, "idx_conversations_task"),
    ({"voice_session_id": "vs_7"}, "idx_conversations_voice_session"),
    ({"ended": "true"}, "idx_conversations_ended"),
    ({"ended": "false"}, "idx_conversations_open"),
]


async def open_many(connection: asyncpg.Connection, *, rarely: str = "ended") -> None:
    """Open conversations of which one in a thousand has each of what the list can be narrowed by."""
    await connection.execute(
        f"""
        INSERT INTO goals (id) VALUES ('{UUID(int=7)}');
        INSERT INTO tasks (id) VALUES ('{UUID(int=7)}');
        INSERT INTO conversations (
            context_type, created_at, extracted_intent, linked_goal_id, linked_task_id, voice_session_id, ended_at
        )
        SELECT 'voice', now() - number * interval '1 minute', CASE WHEN is_rare THEN 'GOAL' END, link, link,
            CASE WHEN is_rare THEN 'vs_7' ELSE 'vs_' || number + 100 END,
            CASE WHEN {"is_rare" if rarely == "ended" else "NOT is_rare"} THEN now() END
        FROM generate_series(1, 20000) AS number, LATERAL (SELECT number % 1000 = 0) AS one (is_rare),
            LATERAL (SELECT CASE WHEN is_rare THEN '{UUID(int=7)}'::uuid END) AS two (link)
        """
    )
    await connection.execute("VACUUM ANALYZE conversations")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[object, ...]]]:
    """Give the statements that the service sends, each with its values."""
    found: list[tuple[str, tuple[object, ...]]] = []
    fetch = asyncpg.Connection.fetch

    async def noting(connection: asyncpg.Connection, statement: str, *values: object) -> list[asyncpg.Record]:
        found.append((statement, values))
        return await fetch(connection, statement, *values)

    monkeypatch.setattr(asyncpg.Connection, "fetch", noting)
    return found


@pytest.mark.pooled
@pytest.mark.parametrize(("query", "index"), FILTERS, ids=str)
async def test_where_few_conversations_are_wanted_of_many_an_index_leads_to_them(
    service: httpx.AsyncClient,
    connection: asyncpg.Connection,
    asked: list[tuple[str, tuple[object, ...]]],
    query: dict[str, str],
    index: str,
) -> None:
    await open_many(connection, rarely="open" if query == {"ended": "false"} else "ended")
    found = await service.get(CONVERSATIONS, params=query)
    assert len(found.json()["data"]) == 20
    [(statement, values)] = [each for each in asked if "FROM conversations" in each[0]]
    plan = [row[0] for row in await connection.fetch(f"EXPLAIN {statement}", *values)]
    assert _uses(plan, index), "\n".join(plan)


@pytest.mark.parametrize("kind", ["goal", "task"])
async def test_when_a_goal_or_task_is_deleted_an_index_leads_to_what_is_linked_to_it(
    connection: asyncpg.Connection, kind: str
) -> None:
    await open_many(connection)
    # What PostgreSQL itself asks for a foreign key (ri_triggers.c), planned once for all values.
    await connection.execute(
        f"PREPARE linked (uuid) AS SELECT 1 FROM ONLY conversations x WHERE $1 = linked_{kind}_id FOR KEY SHARE OF x;"
        "SET plan_cache_mode = force_generic_plan"
    )
    plan = [row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE linked ('{UUID(int=7)}')")]
    assert _uses(plan, f"idx_conversations_{kind}"), "\n".join(plan)


def _uses(plan: list[str], index: str) -> bool:
    return any(f"using {index} " in line or f"on {index} " in line for line in plan)


@pytest.mark.pooled
async def test_a_conversation_is_linked_and_unlinked(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    goal = str(await connection.fetchval("INSERT INTO goals DEFAULT VALUES RETURNING id"))
    task = str(await connection.fetchval("INSERT INTO tasks DEFAULT VALUES RETURNING id"))
    place = f"{CONVERSATIONS}/{conversation}"

    both = await service.patch(place, json={"linked_goal_id": goal, "linked_task_id": task})
    assert (both.json()["linked_goal_id"], both.json()["linked_task_id"]) == (goal, task)
    one = await service.patch(place, json={"linked_goal_id": None})
    assert (one.json()["linked_goal_id"], one.json()["linked_task_id"]) == (None, task)
    assert (await service.get(place)).json() == one.json()


async def test_a_link_to_nothing_is_refused_by_name(service: httpx.AsyncClient, conversation: UUID) -> None:
    refused = await service.patch(f"{CONVERSATIONS}/{conversation}", json={"linked_task_id": str(uuid4())})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/link-not-found")
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/linked_task_id"]


async def test_erasing_takes_everything_said_and_a_second_time_finds_nothing(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await service.post("/api/v1/voice/messages", json=utterance(conversation))
    place = f"{CONVERSATIONS}/{conversation}"
    first, again = [await service.delete(place) for _ in range(2)]
    assert (first.status_code, first.content, again.status_code) == (204, b"", 404)
    assert await connection.fetchval("SELECT count(*) FROM messages") == 0
    assert (await service.get(place)).status_code == 404


@pytest.mark.pooled
@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/messages"), ("GET", "/transcript")]
)
async def test_a_conversation_that_is_not_there_is_not_found(
    shared_service: httpx.AsyncClient, method: str, tail: str
) -> None:
    answer = await shared_service.request(
        method, f"{CONVERSATIONS}/{uuid4()}{tail}", json={} if method == "PATCH" else None
    )
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/conversation-not-found")


async def test_a_conversation_that_the_host_still_refers_to_is_not_erased_and_says_so(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("CREATE TABLE clips (conversation_id UUID REFERENCES conversations)")
    await connection.execute("INSERT INTO clips VALUES ($1)", conversation)
    refused = await service.delete(f"{CONVERSATIONS}/{conversation}")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/host-keeps-conversation")
    assert "clips_conversation_id_fkey" in refused.json()["detail"]


async def test_a_rule_of_the_hosts_against_a_conversation_is_named(
    service: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await connection.execute("ALTER TABLE conversations ADD CONSTRAINT no_voice CHECK (context_type <> 'voice')")
    refused = await service.post(CONVERSATIONS, json={"context_type": "voice"})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/host-owns-conversations")
    assert "no_voice" in refused.json()["detail"]


@pytest.mark.pooled
async def test_erasing_a_very_long_conversation_takes_all_of_it(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute(
        "INSERT INTO messages (conversation_id, role, content, sequence)"
        " SELECT $1, 'user', 'word', n FROM generate_series(1, 45000) n",
        conversation,
    )
    assert (await service.delete(f"{CONVERSATIONS}/{conversation}")).status_code == 204
    assert await connection.fetchval("SELECT count(*) FROM messages") == 0


async def test_a_conversation_that_another_program_holds_is_busy_and_nothing_waits_for_ever(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    place = f"{CONVERSATIONS}/{conversation}"
    async with connection.transaction():
        await connection.execute("SELECT FROM conversations WHERE id = $1 FOR UPDATE", conversation)
        refused = await asyncio.gather(
            service.patch(place, json={"linked_goal_id": None}),
            service.delete(place),
            service.post("/api/v1/voice/messages", json=utterance(conversation)),
        )
        assert (await service.get(place)).status_code == 200
    assert {(answer.status_code, answer.json()["type"]) for answer in refused} == {(503, "/problems/busy")}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}


@pytest.mark.pooled
async def test_readers_do_not_notice_that_their_connections_were_closed(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    place = f"{CONVERSATIONS}/{conversation}"
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    for _ in range(3):
        await asyncio.gather(*(service.get(place) for _ in range(10)))
        assert await connection.fetchval(f"SELECT bool_and(pg_terminate_backend(pid, 5000)) {others}")
        answers = await asyncio.gather(*(service.get(place) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}


async def test_nothing_here_touches_the_hosts_own_messages(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    """Whoever reads or writes `conversations.messages` fails in this test: there the column refuses both."""
    await connection.execute(
        """
        CREATE ROLE stranger;
        GRANT USAGE ON SCHEMA public TO stranger;
        GRANT ALL ON ALL TABLES IN SCHEMA public TO stranger;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO stranger;
        REVOKE ALL ON conversations FROM stranger;
        GRANT DELETE ON conversations TO stranger;
        """
    )
    mine = await connection.fetchval(
        "SELECT string_agg(quote_ident(attname), ', ') FROM pg_attribute"
        " WHERE attrelid = 'conversations'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'messages'"
    )
    await connection.execute(f"GRANT SELECT ({mine}), INSERT ({mine}), UPDATE ({mine}) ON conversations TO stranger")
    await connection.execute("ALTER ROLE ALL SET role = 'stranger'")
    try:
        place = f"{CONVERSATIONS}/{conversation}"
        answers = [
            await service.post(CONVERSATIONS, json={"context_type": "voice"}),
            await service.post("/api/v1/voice/messages", json=utterance(conversation)),
            await service.get(CONVERSATIONS),
            await service.get(place),
            await service.get(f"{place}/messages"),
            await service.get(f"{place}/transcript"),
            await service.patch(place, json={"linked_goal_id": None}),
            await service.delete(place),
        ]
    finally:
        await connection.execute("ALTER ROLE ALL RESET role")
        await connection.execute("DROP OWNED BY stranger; DROP ROLE stranger")
    assert [answer.status_code for answer in answers] == [201, 201, 200, 200, 200, 200, 200, 204]
