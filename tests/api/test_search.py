"""Search: who finds what, in pages, with filters, whatever is typed."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx
import orjson
import pytest

from backend.app import create_app
from backend.dao_service.connection.database import Database
from backend.search.vector import FAR, NEAR
from backend.services import search
from backend.vocabulary import Scope
from tests import callers
from tests.conftest import open_conversation, running, settings_for, utterance
from tests.searching import INDEXED, index_at
from tests.waiting import until_found

SEARCH: Final = "/api/v1/search"
MESSAGES: Final = "/api/v1/voice/messages"
MINH, LAN = callers.person("minh"), callers.person("lan")
SLOW: Final = """
    CREATE FUNCTION take_too_long() RETURNS tsvector LANGUAGE plpgsql STABLE AS
    $$ BEGIN RAISE EXCEPTION 'too long' USING ERRCODE = 'query_canceled'; END $$;
    ALTER TABLE message_words RENAME TO quick;
    CREATE VIEW message_words AS SELECT message_id, conversation_id, position, take_too_long() AS words FROM quick;
"""


async def say(client: httpx.AsyncClient, connection: asyncpg.Connection, *bodies: dict[str, Any]) -> list[str]:
    """Record messages, and return their ids once they are indexed."""
    answer = await client.post(f"{MESSAGES}/batch", json={"messages": bodies})
    await until_found(connection, INDEXED)
    return [result["message"]["id"] for result in answer.json()["results"]]


async def found(client: httpx.AsyncClient, query: str, headers: dict[str, str] | None = None, **more: Any) -> list[str]:
    """The contents that are found, the newest first."""
    answer = await client.get(SEARCH, params={"q": query, **more}, headers=headers)
    assert answer.status_code == 200, answer.text
    return [hit["message"]["content"] for hit in answer.json()["data"]]


HOSTILE: Final = [
    "a & b | !c",
    "!",
    "a <-> b <2> c",
    "a:*",
    "a:*b",
    "'",
    "''",
    '"',
    '"""',
    '-"',
    "-",
    "--",
    "- a",
    "*",
    "a*b*",
    "\\",
    "'a' \\' \\\\",
    "$1",
    "%s",
    "{}",
    "{0}",
    "a'); DROP TABLE messages; --",
    ":ominh",
    "':ruser'",
    ":n0",
    "a\0b",
    "\0",
    "\ufffd",
    "\u202e\u200b\ufeff",
    "\u0301\u0301",
    "🎉",
    "。、",
    "   ",
    "",
    "a" * 200,
    "犬" * 200,
    "ก" * 200,
    "á" * 100,
    "-a " * 66,
    '"a ' * 50,
    "((((((((((",
    "/api/v1/search?q=a#b",
]


@pytest.mark.parametrize("accents", ["ignore", "exact"])
async def test_whatever_is_typed_is_a_query_or_a_fault_of_the_query(
    shared_service: httpx.AsyncClient, accents: str
) -> None:
    for query in HOSTILE:
        answer = await shared_service.get(SEARCH, params={"q": query, "accents": accents})
        assert answer.status_code in {200, 422}, query
        if answer.status_code == 422:
            [fault] = answer.json()["errors"]
            assert fault["pointer"] == "/query/q"
            assert "must have a word" in fault["detail"] or "at most 16 words" in fault["detail"]
    for undecodable in ("%00", "a%ED%A0%80", "%ff%fe", "%"):
        answer = await shared_service.get(f"{SEARCH}?q={undecodable}")
        assert answer.status_code in {200, 422}


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("a" * 201, "must have at most 200 characters"),
        (" ".join("a" * 17), "may have at most 16 words"),
        ("犬 " * 17, "may have at most 16 words"),
        ("-dentist", "must have a word that is to be found"),
        ("!? ...", "must have a word that is to be found"),
    ],
)
async def test_a_query_that_cannot_be_searched_for_is_refused_with_the_reason(
    shared_service: httpx.AsyncClient, query: str, sentence: str
) -> None:
    answer = await shared_service.get(SEARCH, params={"q": query})
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert fault["pointer"] == "/query/q"
    assert sentence in fault["detail"]


async def test_sixteen_words_of_two_hundred_characters_are_a_query(shared_service: httpx.AsyncClient) -> None:
    assert await found(shared_service, " ".join(["abcdefghijk"] * 16).ljust(200)) == []


@pytest.mark.parametrize(
    "cursor",
    ["x", "!", base64.urlsafe_b64encode(orjson.dumps(["search", 2**63])).decode(), "WyJzcG9rZW4iXQ"],
)
async def test_a_cursor_of_another_list_is_refused(shared_service: httpx.AsyncClient, cursor: str) -> None:
    answer = await shared_service.get(SEARCH, params={"q": "a", "cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/query/cursor"


@pytest.mark.parametrize("position", [2**63 - 1, 0, -1, -(2**63 - 1)])
async def test_a_cursor_may_name_any_position(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID, position: int
) -> None:
    await say(shared_service, shared_connection, utterance(shared_conversation, "anything"))
    cursor = base64.urlsafe_b64encode(orjson.dumps(["search", position])).decode().rstrip("=")
    assert bool(await found(shared_service, "anything", cursor=cursor)) == (position > 0)


@pytest.mark.pooled
async def test_what_is_found_comes_with_its_place_in_the_text_and_its_neighbours(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID
) -> None:
    texts = ["Xin chào! " + "x" * 300, "🎉 Đà Nẵng nhé, đa nang!", "Vâng."]
    await say(shared_service, shared_connection, *(utterance(shared_conversation, text) for text in texts))
    answer = (await shared_service.get(SEARCH, params={"q": "da nang"})).json()
    [hit] = answer["data"]
    assert hit["conversation_id"] == hit["message"]["conversation_id"] == str(shared_conversation)
    listed = await shared_service.get(f"/api/v1/conversations/{shared_conversation}/messages")
    assert hit["message"] == listed.json()["data"][1]
    assert hit["ranges"] == [[2, 4], [5, 9], [15, 17], [18, 22]]
    assert hit["before"] == {"sequence": 1, "role": "user", "content": texts[0][:200], "cut": True}
    assert hit["after"] == {"sequence": 3, "role": "user", "content": "Vâng.", "cut": False}
    assert answer["has_more"] is False
    newest = await shared_connection.fetchval("SELECT max(created_at) FROM messages")
    assert datetime.fromisoformat(answer["indexed_up_to"]) == newest
    [alone] = (await shared_service.get(SEARCH, params={"q": "xin"})).json()["data"]
    assert alone["before"] is None


async def test_with_exact_accents_only_the_letters_that_were_typed_are_found(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID
) -> None:
    names = ["Hòa đến", "Hoa đến", "Hóa den", "Hoà đến", "HÒA ĐẾN"]
    await say(shared_service, shared_connection, *(utterance(shared_conversation, name) for name in names))
    assert set(await found(shared_service, "hoa")) == {*names}
    assert set(await found(shared_service, "hòa", accents="exact")) == {"Hòa đến", "HÒA ĐẾN"}
    assert await found(shared_service, "hoa", accents="exact") == ["Hoa đến"]
    assert await found(shared_service, '"hóa den"', accents="exact") == ["Hóa den"]
    # A page is filled although most of what was compared for it is left out.
    first = await shared_service.get(SEARCH, params={"q": "hoa", "accents": "exact", "limit": 1})
    assert [hit["message"]["content"] for hit in first.json()["data"]] == ["Hoa đến"]


async def test_filters_are_joined(shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection) -> None:
    goal, voice = [await open_conversation(shared_connection, kind) for kind in ("goal", "voice")]
    then = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    for number, (conversation, role) in enumerate([(goal, "user"), (goal, "assistant"), (voice, "user")]):
        said = (then + timedelta(minutes=number)).isoformat()
        body = utterance(conversation, f"filtered {number}", role=role, timestamp=said)
        await say(shared_service, shared_connection, body)

    async def numbers(**filters: Any) -> list[str]:
        return [content.removeprefix("filtered ") for content in await found(shared_service, "filtered", **filters)]

    assert await numbers() == ["2", "1", "0"]
    assert await numbers(role="user") == ["2", "0"]
    assert await numbers(context_type="goal") == ["1", "0"]
    assert await numbers(context_type="goal", role="assistant") == ["1"]
    assert await numbers(since="2026-01-31T09:31:00Z") == ["2", "1"]
    assert await numbers(until="2026-01-31T09:31:00Z") == ["0"]
    assert await numbers(since="2026-01-31T09:31:00Z", until="2026-01-31T09:32:00Z") == ["1"]
    for wrong in ({"role": "nobody"}, {"since": "yesterday"}, {"limit": "51"}, {"limit": "0"}, {"accents": "some"}):
        assert (await shared_service.get(SEARCH, params={"q": "filtered", **wrong})).status_code == 422


async def test_pages_hold_each_message_once_while_new_ones_come(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID
) -> None:
    bodies = [utterance(shared_conversation, f"paged {number}") for number in range(30)]
    await say(shared_service, shared_connection, *bodies)
    seen: list[str] = []
    query: dict[str, Any] = {"q": "paged", "limit": 7}
    while True:
        page = (await shared_service.get(SEARCH, params=query)).json()
        seen += [hit["message"]["content"] for hit in page["data"]]
        if not page["has_more"]:
            break
        query["cursor"] = page["next_cursor"]
        await say(shared_service, shared_connection, utterance(shared_conversation, "paged later"))
    assert seen == [f"paged {number}" for number in reversed(range(30))]
    after = (await shared_service.get(SEARCH, params=query | {"cursor": page["next_cursor"]})).json()
    assert (after["data"], after["has_more"], after["next_cursor"]) == ([], False, page["next_cursor"])


@pytest.mark.parametrize("limit", [1, 3, 50])
async def test_what_lies_far_apart_in_the_feed_is_found_in_order(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID, limit: int
) -> None:
    top = 7 * FAR + 5 * NEAR + 3
    places = [top, top - 1, top - NEAR, top - 2 * NEAR, top - FAR, top - 2 * FAR, 1, 0, -1, -NEAR, -FAR - 1, -9 * FAR]
    word = f"apart{limit}"
    bodies = [utterance(shared_conversation, f"{word} {place}") for place in places]
    for identity, place in zip(await say(shared_service, shared_connection, *bodies), places, strict=True):
        await index_at(shared_connection, UUID(identity), place)
    seen: list[str] = []
    query: dict[str, Any] = {"q": word, "limit": limit}
    while True:
        page = (await shared_service.get(SEARCH, params=query)).json()
        assert len(page["data"]) == min(limit, len(places) - len(seen))
        seen += [hit["message"]["content"] for hit in page["data"]]
        if not page["has_more"]:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [f"{word} {place}" for place in places]
    await shared_connection.execute("DELETE FROM messages WHERE content LIKE 'apart%'")


async def test_long_messages_make_a_page_shorter_and_lose_nothing(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID
) -> None:
    for number in range(3):
        body = utterance(shared_conversation, f"lengthy {number} " + "wörter und " * 60_000)
        await say(shared_service, shared_connection, body)
    first = (await shared_service.get(SEARCH, params={"q": "lengthy"})).json()
    assert first["has_more"]
    query = {"q": "lengthy", "cursor": first["next_cursor"]}
    second = (await shared_service.get(SEARCH, params=query)).json()
    contents = [hit["message"]["content"][:9] for page in (first, second) for hit in page["data"]]
    assert contents[:2] == ["lengthy 2", "lengthy 1"]
    assert all(hit["ranges"] == [[0, 7]] for hit in first["data"])


async def test_an_erased_conversation_is_found_no_more(
    shared_service: httpx.AsyncClient, shared_connection: asyncpg.Connection, shared_conversation: UUID
) -> None:
    await say(shared_service, shared_connection, utterance(shared_conversation, "ephemeral"))
    assert await found(shared_service, "ephemeral") == ["ephemeral"]
    await shared_service.delete(f"/api/v1/conversations/{shared_conversation}")
    assert await found(shared_service, "ephemeral") == []


@pytest.mark.pooled
async def test_a_search_that_takes_too_long_is_refused_with_what_to_do(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await say(service, connection, utterance(conversation, "common"))
    await connection.execute(SLOW)
    answer = await service.get(SEARCH, params={"q": "common"})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/search-too-slow")
    assert "Narrow the search" in answer.json()["detail"]
    assert "retry-after" not in answer.headers


async def test_an_empty_index_finds_nothing_and_says_so(service: httpx.AsyncClient) -> None:
    answer = await service.get(SEARCH, params={"q": "anything"})
    assert answer.json() == {"data": [], "next_cursor": None, "has_more": False, "indexed_up_to": None}


async def test_a_service_without_search_says_so(database_url: str) -> None:
    async with running(create_app(settings_for(database_url, search=False))) as client:
        answer = await client.get(SEARCH, params={"q": "anything"})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/search-disabled")


@pytest.mark.parametrize("few", [search._FEW, -1], ids=["each has few messages", "each has many"])
async def test_each_finds_what_is_theirs_and_nothing_of_others(
    shared_guarded: httpx.AsyncClient,
    shared_database_url: str,
    shared_connection: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
) -> None:
    monkeypatch.setattr(search, "_FEW", few)
    await shared_connection.execute("DELETE FROM messages WHERE content LIKE 'secret%'")
    database = Database(shared_database_url)
    everywhere = await callers.service(database, "searching", Scope.CONVERSATIONS_READ_ANY, Scope.CONVERSATIONS_READ)
    nowhere = await callers.service(database, "nowhere", Scope.CONVERSATIONS_READ)
    await database.close()
    for owner in ("minh", "lan", None):
        conversation = await shared_connection.fetchval(
            "INSERT INTO conversations (context_type, user_id) VALUES ('voice', $1) RETURNING id", owner
        )
        await shared_connection.execute(
            "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', $2)",
            conversation,
            f"secret of {owner}",
        )
    await until_found(shared_connection, INDEXED)
    service = shared_guarded
    assert await found(service, "secret", MINH) == await found(service, "secret", MINH, user_id="minh")
    assert await found(service, "secret", MINH) == ["secret of minh"]
    assert await found(service, "secret", LAN) == ["secret of lan"]
    assert await found(service, "secret", nowhere) == []
    assert await found(service, "secret", everywhere) == ["secret of None", "secret of lan", "secret of minh"]
    assert await found(service, "secret", everywhere, user_id="lan") == ["secret of lan"]
    for query in ("secret lan", "secret -minh", '"secret of lan"', "lan*", ":ominh secret lan"):
        assert await found(service, query, MINH) == []
    for query in ("secret minh", "secret -lan", '"secret of"', "secr* min*"):
        assert await found(service, query, MINH) == ["secret of minh"]
        assert await found(service, query, MINH, role="assistant") == []
    refused = await service.get(SEARCH, params={"q": "secret", "user_id": "lan"}, headers=MINH)
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/scope-missing")


async def test_the_conversation_decides_whose_a_message_is_and_not_the_index(
    shared_guarded: httpx.AsyncClient, shared_connection: asyncpg.Connection
) -> None:
    conversation = await shared_connection.fetchval(
        "INSERT INTO conversations (context_type, user_id) VALUES ('voice', 'minh') RETURNING id"
    )
    await shared_connection.execute(
        "INSERT INTO messages (conversation_id, role, content) VALUES ($1, 'user', 'handed over')", conversation
    )
    await until_found(shared_connection, INDEXED)
    await shared_connection.execute("UPDATE conversations SET user_id = 'lan' WHERE id = $1", conversation)
    assert await found(shared_guarded, "handed", MINH) == []


async def test_a_search_counts_as_five_requests(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url, auth_issuers=callers.issuers(tmp_path), rate_limit_subject="12/hour")
    async with running(create_app(settings)) as client:
        left = []
        for path in (SEARCH, "/api/v1/conversations", SEARCH, SEARCH):
            answer = await client.get(path, params={"q": "a"} if path == SEARCH else {}, headers=MINH)
            left.append((answer.status_code, answer.headers["ratelimit"].partition(";t=")[0]))
    assert left == [(200, '"subject";r=7'), (200, '"subject";r=6'), (200, '"subject";r=1'), (429, '"subject";r=0')]
