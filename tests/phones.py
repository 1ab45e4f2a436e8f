"""Phones, as the tests play them: a voice session, and events with numbers and times."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from backend.dao_service.connection.database import Database
from backend.services.session_timeout import end_abandoned

SESSIONS = "/api/v1/voice/sessions"
CONVERSATIONS = "/api/v1/conversations"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Phone:
    """A phone in a voice session of the service."""

    client: httpx.AsyncClient
    session_id: str
    conversation_id: UUID

    async def send(self, *events: dict[str, Any]) -> list[dict[str, Any]]:
        """Forward ``events`` and return what became of each."""
        answer = await self.client.post(f"{SESSIONS}/{self.session_id}/events", json={"events": events})
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        assert len(results) == len(events)
        return results

    async def end(self, **facts: object) -> dict[str, Any]:
        answer = await self.client.post(f"{SESSIONS}/{self.session_id}/end", json=facts)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def receipt(self) -> dict[str, Any]:
        answer = await self.client.get(f"{SESSIONS}/{self.session_id}/receipt")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def state(self) -> dict[str, Any]:
        answer = await self.client.get(f"{SESSIONS}/{self.session_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def messages(self) -> list[dict[str, Any]]:
        """Return the transcript of the conversation."""
        answer = await self.client.get(f"{CONVERSATIONS}/{self.conversation_id}/transcript")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["messages"])


async def begin(client: httpx.AsyncClient, conversation_id: UUID | None = None) -> Phone:
    wanted = {"conversation_id": str(conversation_id)} if conversation_id else {}
    answer = await client.post(SESSIONS, json=wanted)
    assert answer.status_code == 201, answer.text
    return Phone(client, answer.json()["id"], UUID(answer.json()["conversation_id"]))


def numbered(events: Sequence[dict[str, Any]], first: int = 1) -> list[dict[str, Any]]:
    """Return ``events`` as a phone forwards them that counts, and that hears one each 10 ms."""
    return [
        {
            "event": event,
            "client_sequence": number,
            "received_at": (NOON + timedelta(milliseconds=10 * number)).isoformat(),
        }
        for number, event in enumerate(events, first)
    ]


def said(role: str, content: str, **more: object) -> dict[str, Any]:
    return {"type": "ConversationText", "role": role, "content": content, **more}


async def fall_silent(connection: asyncpg.Connection, database: Database) -> None:
    """Let two hours pass in which nothing is heard from any phone, and the service look for such sessions."""
    await connection.execute("UPDATE voice_sessions SET seen_at = seen_at - interval '2 hours'")
    await connection.execute("UPDATE messages SET created_at = created_at - interval '2 hours'")
    await end_abandoned(database, timedelta(hours=1))
