"""Writers that send each message until it is acknowledged, a reader of the feed, and what they know in the end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

WRITERS = 12
CONVERSATIONS = 40
_AGAIN = 0.1  # seconds before a message is sent again

_STORED = """
    SELECT id::text, conversation_id::text, content, sequence FROM messages WHERE conversation_id = ANY ($1::uuid[])
"""
_HOLES = """
    SELECT count(*) FROM (
        SELECT FROM messages WHERE conversation_id = ANY ($1::uuid[]) GROUP BY conversation_id
        HAVING count(*) <> max(sequence) OR count(DISTINCT sequence) <> count(*)
    ) AS holed
"""


class Load:
    """What was acknowledged, by the id of a message; how often it was refused; and what the feed told."""

    def __init__(self, client: httpx.AsyncClient, conversations: list[str]) -> None:
        self.acknowledged: dict[str, tuple[str, str, int]] = {}
        self.refused: Counter[int] = Counter()
        self.longest = 0.0  # seconds from the first attempt to the answer
        self.heard: Counter[str] = Counter()
        self._client = client
        self._conversations = conversations
        self._stopping = False
        self._drained = asyncio.Event()

    async def write(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping:
            conversation = self._conversations[(number + len(self.acknowledged)) % CONVERSATIONS]
            message = {"id": str(uuid4()), "conversation_id": conversation, "role": "user", "content": f"by {number}"}
            begun = loop.time()
            while (answer := await self._post(message)) is None:
                await asyncio.sleep(_AGAIN)
            self.longest = max(self.longest, loop.time() - begun)
            self.acknowledged[answer["id"]] = (conversation, answer["content"], answer["sequence"])

    async def _post(self, message: dict[str, str]) -> Any:
        try:
            answer = await self._client.post("/api/v1/voice/messages", json=message)
        except httpx.HTTPError:
            self.refused[0] += 1
            return None
        if answer.status_code not in {200, 201}:
            self.refused[answer.status_code] += 1
            return None
        return answer.json()

    async def listen(self) -> None:
        cursor: dict[str, str] = {}
        while True:
            try:
                answer = await self._client.get("/api/v1/messages/feed", params={"limit": 500, "wait": 1, **cursor})
            except httpx.HTTPError:
                continue
            if answer.status_code == 200:
                page = answer.json()
                self.heard.update(each["id"] for each in page["data"])
                cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else cursor
                if self._drained.is_set() and not page["data"]:
                    return
            else:
                await asyncio.sleep(_AGAIN)

    async def acknowledges(self, more: int) -> None:
        """Wait until ``more`` messages are acknowledged."""
        wanted = len(self.acknowledged) + more
        while len(self.acknowledged) < wanted:
            await asyncio.sleep(_AGAIN)

    async def is_refused(self) -> None:
        """Wait until one message more is refused, as those are whose worker is away."""
        wanted = self.refused.total() + 1
        while self.refused.total() < wanted:
            await asyncio.sleep(_AGAIN)

    async def check(self, sql: asyncpg.Connection) -> None:
        """See that nothing was lost, doubled or moved, that no place is empty, and that the feed told each once."""
        conversations = [UUID(each) for each in self._conversations]
        stored = {row[0]: tuple(row)[1:] for row in await sql.fetch(_STORED, conversations)}
        assert {key: stored.get(key) for key in self.acknowledged} == self.acknowledged
        assert await sql.fetchval(_HOLES, conversations) == 0
        assert {key: self.heard[key] for key in stored} == dict.fromkeys(stored, 1)


@asynccontextmanager
async def writing(address: str) -> AsyncIterator[Load]:
    """Write all the while, and read the feed to its end afterwards."""
    limits = httpx.Limits(max_connections=WRITERS + 2)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as client:
        opened = [
            (await client.post("/api/v1/conversations", json={"context_type": "voice"})).json()["id"]
            for _ in range(CONVERSATIONS)
        ]
        load = Load(client, opened)
        listening = asyncio.create_task(load.listen())
        writers = [asyncio.create_task(load.write(number)) for number in range(WRITERS)]
        yield load
        load._stopping = True
        await asyncio.gather(*writers)
        load._drained.set()
        await listening
