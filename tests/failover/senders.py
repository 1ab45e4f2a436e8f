"""Senders that know the four rules of docs/guarantees.md and nothing else, and write down what they were answered."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from tests.conftest import utterance

AGAIN = {429, 500, 502, 503, 504}
PATIENCE = 60.0


@dataclass
class Talk:
    """What all senders together were told."""

    service: httpx.AsyncClient
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    refusals: int = 0
    enough: bool = False
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send the same, with the same id, until it is taken."""
        while True:
            answer = await self.service.post(f"/api/v1/{path}", json=body)
            if answer.status_code not in AGAIN:
                assert answer.is_success, answer.text
                taken: dict[str, Any] = answer.json()
                return taken
            self.refusals += 1
            await asyncio.sleep(float(answer.headers["retry-after"]))

    async def send(self, conversation: str) -> None:
        while not self.enough:
            message = await self.post("voice/messages", utterance(UUID(conversation)))
            self.acknowledged[message["id"]] = message
            self.times.append(time.monotonic())
            async with self._grown:
                self._grown.notify_all()

    async def until(self, count: int) -> None:
        """Wait for so many acknowledgements in all."""
        async with asyncio.timeout(PATIENCE), self._grown:
            await self._grown.wait_for(lambda: len(self.acknowledged) >= count)


@asynccontextmanager
async def talking(service: httpx.AsyncClient, senders: int) -> AsyncIterator[Talk]:
    """Let ``senders`` talk, each in a conversation of its own, until the block is left; the last words are taken."""
    talk = Talk(service)
    opened = [await talk.post("conversations", {"context_type": "voice"}) for _ in range(senders)]
    async with asyncio.TaskGroup() as group:
        for conversation in opened:
            group.create_task(talk.send(conversation["id"]))
        try:
            yield talk
        finally:
            talk.enough = True
