"""Whoever has it already is spared to be sent it again, and never misses a change for it."""

from uuid import UUID

import httpx
import pytest

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


async def test_a_tag_opens_nothing_that_is_not_there(service: httpx.AsyncClient) -> None:
    for place in PLACES:
        url = f"/api/v1/conversations/00000000-0000-7000-8000-000000000000{place}"
        assert (await service.get(url, headers={"if-none-match": "*"})).status_code == 404
