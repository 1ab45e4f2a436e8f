"""A conversation without a voice session is ended by its recorder, once."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from tests.conftest import utterance
from tests.phones import begin
from tests.streams import following, listening

CONVERSATIONS = "/api/v1/conversations"


def place(conversation: UUID) -> str:
    return f"{CONVERSATIONS}/{conversation}/end"


@pytest.mark.pooled
async def test_an_ended_conversation_says_when_it_ended_and_how_long_it_was(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID
) -> None:
    await connection.execute("UPDATE conversations SET created_at = '2026-01-31T09:30:00Z'")
    ended = await service.post(place(conversation), json={"ended_at": "2026-01-31T16:31:30.250+07:00"})
    assert (ended.status_code, ended.json()["ended_at"]) == (200, "2026-01-31T09:31:30.250000Z")
    assert ended.json()["duration_seconds"] == 90
    assert "idempotency-replayed" not in ended.headers
    assert (await service.get(f"{CONVERSATIONS}/{conversation}")).json() == ended.json()


@pytest.mark.pooled
async def test_a_conversation_that_was_recorded_afterwards_began_with_its_first_message(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    for time in ("2026-01-31T09:30:10Z", "2026-01-31T09:30:00Z"):
        await service.post("/api/v1/voice/messages", json=utterance(conversation, timestamp=time))
    ended = await service.post(place(conversation), json={"ended_at": "2026-01-31T09:31:00Z"})
    assert ended.json()["duration_seconds"] == 60


@pytest.mark.parametrize(
    ("opened", "seconds"), [("'-infinity'", 2**31 - 1), ("'infinity'", 0), ("now() + interval '1 day'", 0)]
)
async def test_a_strange_time_of_the_hosts_hinders_no_end(
    service: httpx.AsyncClient, connection: asyncpg.Connection, conversation: UUID, opened: str, seconds: int
) -> None:
    await connection.execute(f"UPDATE conversations SET created_at = {opened}")
    ended = await service.post(place(conversation), json={})
    assert (ended.status_code, ended.json()["duration_seconds"]) == (200, seconds)


async def test_without_a_time_it_ends_now_and_again_with_the_same_facts_changes_nothing(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    first = await service.post(place(conversation), json={})
    assert abs(datetime.now(UTC) - datetime.fromisoformat(first.json()["ended_at"])) < timedelta(minutes=1)
    # A retry of a request that was carried out is none that has not seen it.
    for body, headers in (({}, {}), ({"ended_at": first.json()["ended_at"]}, {}), ({}, {"if-match": '"before"'})):
        again = await service.post(place(conversation), json=body, headers=headers)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (200, "true")
        assert again.json() == first.json()
    other = await service.post(place(conversation), json={"ended_at": "2026-01-31T09:31:00Z"})
    assert (other.status_code, other.json()["type"]) == (409, "/problems/conversation-ended")
    assert (await service.get(f"{CONVERSATIONS}/{conversation}")).json() == first.json()


async def test_of_many_at_once_one_ends_it(service: httpx.AsyncClient, conversation: UUID) -> None:
    answers = await asyncio.gather(*(service.post(place(conversation), json={}) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 9


async def test_a_conversation_with_voice_sessions_ends_with_those(service: httpx.AsyncClient) -> None:
    phone = await begin(service)
    for _ in range(2):
        refused = await service.post(place(phone.conversation_id), json={})
        assert (refused.status_code, refused.json()["type"]) == (409, "/problems/conversation-has-sessions")
        await service.post(f"/api/v1/voice/sessions/{phone.session_id}/end", json={})


async def test_a_late_message_is_recorded_and_a_later_session_goes_on_with_it(
    service: httpx.AsyncClient, conversation: UUID
) -> None:
    await service.post(place(conversation), json={})
    late = await service.post("/api/v1/voice/messages", json=utterance(conversation))
    assert late.status_code == 201
    await service.post("/api/v1/voice/sessions", json={"conversation_id": str(conversation)})
    assert (await service.get(f"{CONVERSATIONS}/{conversation}")).json()["ended_at"] is None


async def test_followers_hear_the_end(app: FastAPI, conversation: UUID) -> None:
    async with listening(app) as client, following(client, f"/conversations/{conversation}/live") as follower:
        await client.post("/api/v1/voice/messages", json=utterance(conversation))
        assert (await follower.next()).kind == "message"
        ended = await client.post(place(conversation), json={})
        end = await follower.next()
        assert (end.kind, end.data["reason"]) == ("end", "ended")
        assert datetime.fromisoformat(end.data["ended_at"]) == datetime.fromisoformat(ended.json()["ended_at"])


async def test_what_is_not_there_is_not_ended(service: httpx.AsyncClient) -> None:
    refused = await service.post(place(uuid4()), json={})
    assert (refused.status_code, refused.json()["type"]) == (404, "/problems/conversation-not-found")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [({"ended_at": "yesterday"}, "/ended_at"), ({"ended_at": 7}, "/ended_at"), ({"reason": "x"}, "/reason"), ([], "")],
)
async def test_an_end_of_another_form_is_refused(
    service: httpx.AsyncClient, conversation: UUID, body: object, pointer: str
) -> None:
    refused = await service.post(place(conversation), json=body)
    assert refused.status_code == 422
    assert [fault["pointer"] for fault in refused.json()["errors"]] == [pointer]
