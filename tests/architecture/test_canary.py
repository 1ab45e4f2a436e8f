"""What was said is found in the record and nowhere else: no log line, no refusal, no metric."""

import json
import logging
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from tests.conftest import utterance

CANARY = "my neighbour's canary sings at dawn"
MESSAGES = "/api/v1/voice/messages"
JSON = {"content-type": "application/json"}


def spoken(conversation: UUID, **more: object) -> dict[str, Any]:
    return utterance(conversation, CANARY, metadata={CANARY: [CANARY]}, voice_session_id=CANARY) | more


async def test_what_was_said_is_found_nowhere_but_in_the_record(
    service: httpx.AsyncClient,
    connection: asyncpg.Connection,
    conversation: UUID,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "level", logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", True)  # the tests' own client
    known = spoken(conversation)
    bodies: list[object] = [
        known | {"role": "assistant"},
        known | {"metadata": {CANARY: 2}},
        spoken(uuid4()),
        spoken(conversation, content=CANARY + "\0"),
        spoken(conversation, content=CANARY + "\ud800"),
        spoken(conversation, content=CANARY * 4000),
        spoken(conversation, metadata={CANARY: float("nan")}),
        spoken(conversation, metadata={CANARY: {CANARY: 2**60}}),
        spoken(conversation, metadata={CANARY + "\ud800": 1}),
        spoken(conversation, id=CANARY, role=CANARY, timestamp=CANARY, client_sequence=CANARY),
        spoken(conversation, **{CANARY: CANARY}),
        CANARY,
        {CANARY: CANARY},
    ]
    await service.post(MESSAGES, json=known)
    refused = [await service.post(MESSAGES, content=json.dumps(body).encode(), headers=JSON) for body in bodies]
    refused.append(await service.post(f"{MESSAGES}/batch", content=_ascii({"messages": bodies}), headers=JSON))
    refused += [
        await service.post(MESSAGES, content=f'{{"{CANARY}'.encode(), headers=JSON),
        await service.post("/api/v1/conversations", json={"context_type": CANARY, CANARY: CANARY}),
        await service.patch(f"/api/v1/conversations/{conversation}", json={"linked_goal_id": CANARY}),
        await service.get(f"/api/v1/conversations/{CANARY}"),
        await service.get("/api/v1/conversations", params={"cursor": CANARY, CANARY: CANARY, "intent": CANARY}),
        await service.get(f"/{CANARY}"),
        await service.get(f"/problems/{CANARY}"),
    ]
    assert not [answer for answer in refused if answer.is_success and answer.url.path != f"{MESSAGES}/batch"]

    # PostgreSQL quotes the whole row in what it says of a broken rule.
    await connection.execute("ALTER TABLE messages ADD CHECK (content NOT LIKE '%canary%') NOT VALID")
    broken = await service.post(MESSAGES, json=spoken(conversation))
    assert (broken.status_code, broken.json()["type"]) == (500, "/problems/internal-error")

    # And whatever else may break must not be printed with its words.
    await connection.execute("ALTER TABLE messages RENAME TO elsewhere")
    for path in ("messages", "transcript"):
        answer = await service.get(f"/api/v1/conversations/{conversation}/{path}")
        assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")
        refused.append(answer)

    said = capfd.readouterr()
    everywhere = "\n".join(
        [said.out, said.err, broken.text, *(answer.text for answer in refused), (await service.get("/metrics")).text]
    )
    assert "fault of the service" in said.out
    assert "canary" not in everywhere


def _ascii(value: object) -> bytes:
    return json.dumps(value).encode()
