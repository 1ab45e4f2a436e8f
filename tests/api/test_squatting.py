"""A client that takes ids in advance, in a conversation of its own, does not stop the client that they belong to."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import asyncpg
import httpx
import pytest

from backend.app import create_app
from backend.principal import PERSONAL
from backend.replay import Tally, replay
from backend.vocabulary import Scope
from tests import callers
from tests.conftest import running, settings_for, utterance
from tests.phones import CONVERSATIONS, SESSIONS, numbered, said
from tests.test_replay import talk, write

OWNER, STRANGER = callers.person("minh"), callers.person("lan")
SESSION = "vs_0123456789abcdef"
TALK = numbered([said("user", "Hello?"), said("assistant", "Hello.")])
CALLS = {
    "type": "FunctionCallRequest",
    "functions": [{"id": name, "name": "clock", "arguments": "{}", "client_side": True} for name in "abc"],
}
# The constants that ids derived from before, written out: changing them would record events of old sessions twice.
EVENTS_BEFORE = UUID("b3c5b3e0-3d0e-4f7c-8d6a-5f0f2e1c9a44")
DIALOGUES = UUID("f4d0a3ea-3a5e-4d0f-9d3c-7a3c3c1a6f52")
CONVERSATIONS_OF = UUID("2f6d2c52-6f1e-4b7e-9a57-0d3f8c1b7a90")


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings_for(database_url, auth_issuers=callers.issuers(tmp_path)))
    async with running(app) as client:
        yield client


async def begin(client: httpx.AsyncClient, status: int = 201) -> dict[str, Any]:
    answer = await client.post(SESSIONS, json={"id": SESSION}, headers=OWNER)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def open_as(client: httpx.AsyncClient, headers: dict[str, str], identity: UUID | None = None) -> UUID:
    wanted = {"context_type": "voice"} | ({"id": str(identity)} if identity else {})
    answer = await client.post(CONVERSATIONS, json=wanted, headers=headers)
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["id"])


async def send(client: httpx.AsyncClient, *events: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.post(f"{SESSIONS}/{SESSION}/events", json={"events": events}, headers=OWNER)
    return list(answer.json()["results"])


async def test_a_stranger_who_knows_a_session_cannot_take_the_ids_of_its_events(client: httpx.AsyncClient) -> None:
    await begin(client)
    theirs = await open_as(client, STRANGER)
    firsts = [uuid5(EVENTS_BEFORE, f"{SESSION}:{number}") for number in (1, 2, 3)]
    for identity in [*firsts, *(uuid5(firsts[2], part) for part in "12")]:
        taken = utterance(theirs) | {"id": str(identity)}
        assert (await client.post("/api/v1/voice/messages", json=taken, headers=STRANGER)).status_code == 201
    results = await send(client, *TALK, *numbered([CALLS], 3))
    assert [result["status"] for result in results] == [201, 201, 201]
    assert [len(result["messages"]) for result in results] == [1, 1, 3]
    assert [result["status"] for result in await send(client, *TALK, *numbered([CALLS], 3))] == [200, 200, 200]


async def test_what_ids_derive_from_is_never_shown(client: httpx.AsyncClient, connection: asyncpg.Connection) -> None:
    begun = await begin(client)
    await send(client, *TALK)
    salt = await connection.fetchval("SELECT salt FROM voice_sessions")
    conversation = f"{CONVERSATIONS}/{begun['conversation_id']}"
    paths = [f"{SESSIONS}/{SESSION}", f"{SESSIONS}/{SESSION}/receipt", conversation, f"{conversation}/transcript"]
    for path in paths:
        answer = await client.get(path, headers=OWNER)
        assert answer.status_code == 200
        assert "salt" not in answer.text
        assert str(salt) not in answer.text


async def test_a_session_from_before_there_were_salts_keeps_its_ids(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    await begin(client)
    await connection.execute("UPDATE voice_sessions SET salt = NULL")
    [result] = await send(client, TALK[0])
    assert result["messages"][0]["id"] == str(uuid5(EVENTS_BEFORE, f"{SESSION}:1"))


@pytest.mark.pooled
async def test_salts_are_random_once_no_older_release_has_begun_a_session_for_a_day(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    conversation = await open_as(client, OWNER)
    old = "INSERT INTO voice_sessions (id, conversation_id, provider) VALUES ('vs_of_an_older_release', $1, 'deepgram')"
    await connection.execute(old, conversation)

    async def salt_of_a_new_session() -> UUID:
        begun = (await client.post(SESSIONS, json={}, headers=OWNER)).json()["id"]
        return UUID(str(await connection.fetchval("SELECT salt FROM voice_sessions WHERE id = $1", begun)))

    assert await salt_of_a_new_session() == EVENTS_BEFORE
    await connection.execute("UPDATE voice_sessions SET started_at = now() - interval '23 hours' WHERE salt IS NULL")
    assert await salt_of_a_new_session() == EVENTS_BEFORE
    await connection.execute("UPDATE voice_sessions SET started_at = now() - interval '25 hours' WHERE salt IS NULL")
    first, second = await salt_of_a_new_session(), await salt_of_a_new_session()
    assert EVENTS_BEFORE != first != second != EVENTS_BEFORE


async def test_a_session_that_a_release_before_began_is_found_again_with_its_conversation(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    conversation = await open_as(client, OWNER, uuid5(CONVERSATIONS_OF, SESSION))
    begun = "INSERT INTO voice_sessions (id, conversation_id, provider) VALUES ($1, $2, 'deepgram')"
    await connection.execute(begun, SESSION, conversation)
    assert (await begin(client, 200))["conversation_id"] == str(conversation)
    assert len((await client.get(CONVERSATIONS, headers=OWNER)).json()["data"]) == 1


@pytest.mark.parametrize("known", [SESSION, f"{SESSION}:minh"], ids=["the session", "the session and the subject"])
async def test_a_stranger_cannot_take_the_conversation_of_a_session_that_has_not_begun(
    client: httpx.AsyncClient, known: str
) -> None:
    theirs = await open_as(client, STRANGER, uuid5(CONVERSATIONS_OF, known))
    begun = await begin(client)
    assert begun["conversation_id"] != str(theirs)
    assert (await begin(client, 200))["conversation_id"] == begun["conversation_id"]
    assert [result["status"] for result in await send(client, *TALK)] == [201, 201]
    mine = (await client.get(CONVERSATIONS, headers=OWNER)).json()["data"]
    assert [each["id"] for each in mine] == [begun["conversation_id"]]


@pytest.mark.pooled
@pytest.mark.parametrize("known", [SESSION, f"{SESSION}:minh"], ids=["the session", "the session and the subject"])
async def test_an_id_that_a_stranger_took_and_erased_is_in_nobodys_way(client: httpx.AsyncClient, known: str) -> None:
    theirs = await open_as(client, STRANGER, uuid5(CONVERSATIONS_OF, known))
    assert (await client.delete(f"{CONVERSATIONS}/{theirs}", headers=STRANGER)).status_code == 204
    await begin(client)
    await begin(client, 200)
    assert len((await client.get(CONVERSATIONS, headers=OWNER)).json()["data"]) == 1


@pytest.mark.parametrize("derived_before", [True, False])
async def test_a_session_whose_conversation_was_erased_stays_gone_whichever_release_began_it(
    client: httpx.AsyncClient, *, derived_before: bool
) -> None:
    if derived_before:
        conversation = await open_as(client, OWNER, uuid5(CONVERSATIONS_OF, SESSION))
    else:
        conversation = UUID((await begin(client))["conversation_id"])
    assert (await client.delete(f"{CONVERSATIONS}/{conversation}", headers=OWNER)).status_code == 204
    assert (await begin(client, 410))["type"] == "/problems/conversation-erased"


DIALOGUE = uuid5(DIALOGUES, "a call")


async def play(client: httpx.AsyncClient, folder: Path, *said: str, headers: dict[str, str] = OWNER) -> Tally:
    """Replay the dialogue as the owner."""
    write(folder / "dialogues", {"a call": talk(*said)})
    token = headers["authorization"].removeprefix("Bearer ")
    where = {"url": "http://127.0.0.1", "transport": client._transport}
    return await replay(folder / "dialogues", token=token, concurrency=1, patience=10, **where)  # type: ignore[arg-type]


async def test_a_stranger_cannot_take_the_conversation_of_a_dialogue_that_is_replayed_later(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    await open_as(client, STRANGER, DIALOGUE)
    first = await play(client, tmp_path, "One.", "Two.")
    assert (first.opened, first.new, first.complete) == (1, 2, True)
    again = await play(client, tmp_path, "One.", "Two.")
    assert (again.reopened, again.new, again.repeated, again.complete) == (1, 0, 2, True)


async def test_a_stranger_cannot_take_the_ids_of_messages_that_are_replayed_later(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    theirs = await open_as(client, STRANGER)
    for place in ("0.0", "1.0"):
        taken = utterance(theirs) | {"id": str(uuid5(DIALOGUE, place))}
        assert (await client.post("/api/v1/voice/messages", json=taken, headers=STRANGER)).status_code == 201
    first = await play(client, tmp_path, "One.", "Two.")
    assert (first.opened, first.new, first.complete) == (1, 2, True)


@pytest.mark.pooled
@pytest.mark.parametrize("readable", [True, False])
async def test_a_replay_that_a_release_before_began_is_completed_and_nothing_is_recorded_twice(
    client: httpx.AsyncClient, tmp_path: Path, *, readable: bool
) -> None:
    conversation = await open_as(client, OWNER, DIALOGUE)
    begun = {"conversation_id": str(conversation), "role": "user", "content": "One."}
    begun |= {"id": str(uuid5(conversation, "0.0")), "metadata": {"provider": "deepgram"}}  # type: ignore[dict-item]
    assert (await client.post("/api/v1/voice/messages", json=begun, headers=OWNER)).status_code == 201
    headers = OWNER if readable else callers.person("minh", PERSONAL - {Scope.CONVERSATIONS_READ})
    tally = await play(client, tmp_path, "One.", "Two.", headers=headers)
    if readable:
        assert (tally.new, tally.repeated, tally.complete) == (1, 1, True)
    else:
        assert (tally.new, tally.complete) == (0, False)
        assert "/problems/scope-missing" in (tally.trouble or "")
