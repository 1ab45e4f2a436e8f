"""The example orchestrator follows a call. What a client does when a stream breaks, `tests/clients/python` tests."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from examples.orchestrator import Orchestrator
from tests.conftest import utterance
from tests.phones import begin
from tests.streams import listening
from verbatim_record import AsyncClient


@pytest.fixture
async def service(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with listening(app) as client:
        yield client


async def heard(service: httpx.AsyncClient, conversation: UUID, capsys: pytest.CaptureFixture[str]) -> str:
    """What the orchestrator prints of a conversation until it follows no longer."""
    database: Any = None  # which following does not need
    async with AsyncClient(str(service.base_url)) as record:
        await Orchestrator(record, database).follow(conversation)
    return capsys.readouterr().out


async def test_it_hears_a_call_to_its_end(service: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]) -> None:
    phone = await begin(service)
    for content in ("one\u2028two", "three"):
        answer = await service.post("/api/v1/voice/messages", json=utterance(phone.conversation_id, content))
        assert answer.status_code == 201
    await phone.end()
    assert await heard(service, phone.conversation_id, capsys) == (
        "orchestrator  hears  1 user: one\u2028two\n"
        "orchestrator  hears  2 user: three\n"
        "orchestrator  the conversation has ended\n"
    )


async def test_it_follows_no_conversation_that_was_erased(
    service: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await heard(service, UUID(int=1), capsys) == "orchestrator  the conversation was erased\n"
