"""A client is not sent what it has already, and changes nothing that it has not seen."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from backend.dao_service.message_dao import MessageRows
from backend.dao_service.portions import Bounds
from backend.services import transcripts
from tests.conftest import utterance
from tests.deepgram.examples import EXAMPLES
from tests.phones import begin, numbered, said

PLACES = ("", "/messages", "/messages?order=recorded&limit=1", "/transcript", "/transcript?format=vtt")


async def tags(service: httpx.AsyncClient, conversation: UUID) -> dict[str, str]:
    return {
        place: (await service.get(f"/api/v1/conversations/{conversation}{place}")).headers["etag"] for place in PLACES
    }


@pytest.mark.parametrize("place", PLACES)
async def test_what_has_not_changed_is_not_sent_again(
    service: httpx.AsyncClient, conversation: UUID, place: str
) -> None:
    url = f"/api/v1/conversations/{conversation}{place}"
    await service.post("/api/v1/voice/messages", json=utterance(conversation))
    first = await service.get(url)
    tag = first.headers["etag"]
    for wanted in (tag, f'"another", W/{tag}', "*"):
        again = await service.get(url, headers={"if-none-match": wanted})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
    assert (await service.get(url, headers={"if-none-match": '"another"'})).content == first.content
    await service.post("/api/v1/voice/messages", json=utterance(conversation))
    changed = await service.get(url, headers={"if-none-match": tag})
    assert (changed.status_code, changed.headers["etag"] == tag) == (200, False)


async def test_each_representation_has_a_tag_of_its_own(service: httpx.AsyncClient, conversation: UUID) -> None:
    assert len({*(await tags(service, conversation)).values()}) == len(PLACES)


async def test_what_is_noted_of_a_message_afterwards_changes_its_tag(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    await phone.send(*numbered([said("user", "Hello."), said("assistant", "Hello!")]))
    before = await tags(service, phone.conversation_id)
    await phone.send(*numbered([EXAMPLES["AgentStartedSpeaking"]], 3))
    after = await tags(service, phone.conversation_id)
    assert [place for place in PLACES[1:] if before[place] == after[place]] == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_strong_tag_of_a_transcript_is_that_of_the_body_sent(
    service: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    phone = await begin(service)
    await phone.send(*numbered([said("user", "Hello."), said("assistant", "Hello!")]))
    read, changes = transcripts._read, [EXAMPLES["AgentStartedSpeaking"], said("user", "Bye.")]

    async def reading(*wanted: Any) -> MessageRows:
        """Read, while the phone sends more."""
        more = numbered(changes[:1], 5 - len(changes))
        del changes[:1]
        if more and when == "before":
            await phone.send(*more)
        found = await read(*wanted)
        if more and when == "after":
            await phone.send(*more)
        return found

    monkeypatch.setattr(transcripts, "_read", reading)
    url = f"/api/v1/conversations/{phone.conversation_id}/transcript"
    answers = [await service.get(url) for _ in range(4)]
    assert changes == []
    assert "Bye." in answers[-1].text
    bodies = {answer.headers["etag"]: answer.content for answer in answers}
    assert all(bodies[answer.headers["etag"]] == answer.content for answer in answers)
    assert len(bodies) == len({answer.content for answer in answers})
    assert not any(tag.startswith("W/") for tag in bodies)


async def test_a_transcript_of_several_parts_has_a_weak_tag(
    service: httpx.AsyncClient, conversation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts, "_STRIDE", Bounds(rows=1, size=2**18))
    for _ in range(2):
        await service.post("/api/v1/voice/messages", json=utterance(conversation))
    url = f"/api/v1/conversations/{conversation}/transcript"
    tag = (await service.get(url)).headers["etag"]
    assert tag.startswith('W/"')
    again = await service.get(url, headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await service.post("/api/v1/voice/messages", json=utterance(conversation))
    assert (await service.get(url, headers={"if-none-match": tag})).status_code == 200


async def test_a_page_with_a_long_message_has_a_weak_tag(service: httpx.AsyncClient, conversation: UUID) -> None:
    long = utterance(conversation, "x" * 20_000)
    await service.post("/api/v1/voice/messages", json=long)
    await service.post("/api/v1/voice/messages", json=utterance(conversation))
    for query, weak in (("limit=1", False), ("limit=500", True)):
        url = f"/api/v1/conversations/{conversation}/messages?{query}"
        tag = (await service.get(url)).headers["etag"]
        assert tag.startswith("W/") == weak
        again = await service.get(url, headers={"if-none-match": tag})
        assert (again.status_code, again.headers["etag"]) == (304, tag)


async def test_a_tag_opens_nothing_that_is_not_there(service: httpx.AsyncClient) -> None:
    for place in PLACES:
        url = f"/api/v1/conversations/00000000-0000-7000-8000-000000000000{place}"
        assert (await service.get(url, headers={"if-none-match": "*"})).status_code == 404


WAITS = (
    "SELECT count(*) > 0 FROM pg_stat_activity"
    " WHERE datname = current_database() AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
)
# What changes or erases a conversation. Each with the status of a request that is carried out.
CHANGES: dict[str, tuple[str, str, dict[str, Any] | None, int]] = {
    "linking": ("PATCH", "", {"linked_goal_id": None}, 200),
    "ending": ("POST", "/end", {}, 200),
    "erasing": ("DELETE", "", None, 204),
}


async def change(service: httpx.AsyncClient, conversation: UUID, kind: str, if_match: str) -> httpx.Response:
    method, place, body, _ = CHANGES[kind]
    url = f"/api/v1/conversations/{conversation}{place}"
    return await service.request(method, url, json=body, headers={"if-match": if_match})


@pytest.mark.parametrize("kind", CHANGES)
async def test_what_has_changed_since_a_client_saw_it_is_neither_changed_nor_erased(
    service: httpx.AsyncClient, conversation: UUID, kind: str
) -> None:
    seen = (await tags(service, conversation))[""]
    await service.post("/api/v1/voice/messages", json=utterance(conversation))
    url = f"/api/v1/conversations/{conversation}"
    stands = await service.get(url)
    for stale in (seen, f"W/{seen}", f'{seen}, "another"', '"*"', "x", ""):
        refused = await change(service, conversation, kind, stale)
        assert (refused.status_code, refused.json()["type"]) == (412, "/problems/precondition-failed")
        assert refused.headers["etag"] == stands.headers["etag"]
    assert (await service.get(url)).json() == stands.json()
    assert len((await service.get(f"{url}/messages")).json()["data"]) == 1


@pytest.mark.pooled
@pytest.mark.parametrize("named", ["{}", "W/{}", '"another", {}', "*"])
@pytest.mark.parametrize("kind", CHANGES)
async def test_what_a_client_has_seen_as_it_stands_it_may_change(
    service: httpx.AsyncClient, conversation: UUID, kind: str, named: str
) -> None:
    tag = (await tags(service, conversation))[""]
    assert (await change(service, conversation, kind, named.format(tag))).status_code == CHANGES[kind][3]


async def test_several_headers_are_one_list(service: httpx.AsyncClient, conversation: UUID) -> None:
    tag = (await tags(service, conversation))[""]
    url = f"/api/v1/conversations/{conversation}"
    for name, status in (("if-match", 200), ("if-none-match", 304)):
        headers = [(name, '"another"'), (name, tag)]
        assert (await service.get(url, headers=headers)).status_code == status


async def test_an_answer_to_a_change_has_the_tag_that_the_next_one_names(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    linked = await change(service, conversation, "linking", "*")
    ended = await change(service, conversation, "ending", linked.headers["etag"])
    assert (await tags(service, conversation))[""] == ended.headers["etag"]
    assert (await change(service, conversation, "erasing", ended.headers["etag"])).status_code == 204


@pytest.mark.pooled
@pytest.mark.parametrize("kind", CHANGES)
async def test_a_change_that_commits_while_another_waits_for_it_is_seen_by_that_one(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, kind: str
) -> None:
    """Both had seen the same; the second must not go by what it read before the first committed."""
    seen = (await tags(service, conversation))[""]
    async with connection.transaction():
        await connection.execute("UPDATE conversations SET extracted_intent = 'GOAL' WHERE id = $1", conversation)
        waiting = asyncio.create_task(change(service, conversation, kind, seen))
        while not await connection.fetchval(WAITS):
            await asyncio.sleep(0.01)
    assert (await waiting).status_code == 412
    assert (await service.get(f"/api/v1/conversations/{conversation}")).json()["ended_at"] is None


async def test_of_many_that_have_seen_the_same_one_changes_it(service: httpx.AsyncClient, conversation: UUID) -> None:
    seen = (await tags(service, conversation))[""]
    answers = await asyncio.gather(*(change(service, conversation, "linking", seen) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9


@pytest.mark.parametrize("place", PLACES)
async def test_what_is_read_on_condition_is_not_read_once_it_has_changed(
    service: httpx.AsyncClient, conversation: UUID, place: str
) -> None:
    url = f"/api/v1/conversations/{conversation}{place}"
    seen = (await service.get(url)).headers["etag"]
    assert (await service.get(url, headers={"if-match": f"W/{seen}"})).status_code == 200
    await service.post("/api/v1/voice/messages", json=utterance(conversation))
    assert (await service.get(url, headers={"if-match": seen})).status_code == 412
    assert (await service.get(url, headers={"if-match": seen, "if-none-match": "*"})).status_code == 412


@pytest.mark.parametrize("kind", CHANGES)
async def test_of_what_is_not_there_no_condition_is_looked_at(service: httpx.AsyncClient, kind: str) -> None:
    refused = await change(service, UUID(int=0), kind, '"another"')
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/conversation-not-found")
