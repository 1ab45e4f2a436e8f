"""Whoever has it already is spared to be sent it again, and never misses a change for it."""

from uuid import UUID

import httpx
import pytest

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
    read, changes = transcripts._Walk.stride, [EXAMPLES["AgentStartedSpeaking"], said("user", "Bye.")]

    async def stride(walk: transcripts._Walk) -> list[bytes]:
        """Read on, while the phone sends more."""
        more = numbered(changes[:1], 5 - len(changes))
        del changes[:1]
        if more and when == "before":
            await phone.send(*more)
        found = await read(walk)
        if more and when == "after":
            await phone.send(*more)
        return found

    monkeypatch.setattr(transcripts._Walk, "stride", stride)
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


async def test_a_tag_opens_nothing_that_is_not_there(service: httpx.AsyncClient) -> None:
    for place in PLACES:
        url = f"/api/v1/conversations/00000000-0000-7000-8000-000000000000{place}"
        assert (await service.get(url, headers={"if-none-match": "*"})).status_code == 404
