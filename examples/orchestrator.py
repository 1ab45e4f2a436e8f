"""A small orchestrator: it receives intents, makes goals and tasks, links conversations to them, and follows calls.

    VERBATIM_URL=http://127.0.0.1:8000 DATABASE_URL=postgresql://… WEBHOOK_SECRET=whsec_… \
        uvicorn examples.orchestrator:app --port 9000

The service is started with VERBATIM_ORCHESTRATOR_URL=http://127.0.0.1:9000/hook, the same secret in
VERBATIM_ORCHESTRATOR_SECRETS, and VERBATIM_ORCHESTRATOR_PRIVATE=true, because both are on one machine. VERBATIM_TOKEN
is a service token with `conversations:read:any` and `conversations:write:any`; in local mode none is needed.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
import httpx
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from standardwebhooks import Webhook, WebhookVerificationError

# A delivery comes at least once. Its id is stored in one transaction with the goal or task, so that a repetition does
# nothing.
_REMEMBER: Final = """
    CREATE TABLE IF NOT EXISTS orchestrator_done (
        webhook_id text PRIMARY KEY, target uuid NOT NULL, done_at timestamptz DEFAULT now()
    )
"""
_MAKE: Final = "INSERT INTO {} DEFAULT VALUES RETURNING id"  # the host application's tables may require more columns
_DONE: Final = "INSERT INTO orchestrator_done (webhook_id, target) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_TABLES: Final = {
    "GOAL": ("linked_goal_id", "goals"),
    "NEW_TASK": ("linked_task_id", "tasks"),
    "RESCHEDULE_TASK": ("linked_task_id", "tasks"),
}


class Intent(BaseModel):
    """The members of a delivery's `data` that are used here."""

    conversation_id: UUID
    intent: str
    payload: dict[str, Any]


class Orchestrator:
    """Acts on intents. ``wait`` is the time in seconds until a lost stream is opened again."""

    def __init__(self, record: httpx.AsyncClient, database: asyncpg.Pool, secret: str, wait: float = 1.0) -> None:
        self.record = record
        self.wait = wait
        self.database = database
        self.webhook = Webhook(secret)
        self._following: dict[UUID, asyncio.Task[None]] = {}

    async def act(self, webhook_id: str, intent: Intent) -> None:
        """Make the goal or task, once for each ``webhook_id``, and link the conversation to it."""
        field, target = await self._make(webhook_id, intent)
        path = f"conversations/{intent.conversation_id}"
        transcript = await self.record.get(f"{path}/transcript", params={"format": "openai"})
        print(f"orchestrator  {intent.intent} {intent.payload}, from {len(transcript.json()['messages'])} messages")
        (await self.record.patch(path, json={field: str(target)})).raise_for_status()
        print(f"orchestrator  {field} is {target}")
        if intent.conversation_id not in self._following:
            self._following[intent.conversation_id] = asyncio.create_task(self.follow(intent.conversation_id))

    async def _make(self, webhook_id: str, intent: Intent) -> tuple[str, UUID]:
        field, table = _TABLES[intent.intent]
        async with self.database.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", webhook_id)
            done = await connection.fetchval("SELECT target FROM orchestrator_done WHERE webhook_id = $1", webhook_id)
            target: UUID = done or await connection.fetchval(_MAKE.format(table))
            await connection.execute(_DONE, webhook_id, target)
        return field, target

    async def follow(self, conversation: UUID) -> None:
        """Print the messages of the conversation until it ends; reopen a lost stream behind the last message."""
        last, wait = 0, self.wait
        while True:
            try:
                async for event in events(self.record, f"conversations/{conversation}/live", last):
                    wait = event.retry or wait
                    if event.kind == "message":
                        last = event.data["sequence"]
                        print(f"orchestrator  hears {last:>2} {event.data['role']}: {event.data['content']}")
                    elif event.kind == "end":
                        print(f"orchestrator  the conversation has {event.data['reason']}")
                        return
            except httpx.TransportError:
                pass
            except httpx.HTTPStatusError as error:
                if error.response.status_code == httpx.codes.NOT_FOUND:
                    return  # erased
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """End all streams."""
        for task in self._following.values():
            task.cancel()
        await asyncio.gather(*self._following.values(), return_exceptions=True)


@dataclass(frozen=True)
class Event:
    """A server-sent event. ``retry`` is the time in seconds until the client should reconnect, None if not given."""

    kind: str
    data: dict[str, Any]
    retry: float | None


async def events(record: httpx.AsyncClient, path: str, last: int) -> AsyncIterator[Event]:
    """Yield server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) after the id ``last``.

    The answer 204 becomes an event `end`: the conversation has ended and has no message after ``last``.
    """
    headers = {"last-event-id": str(last)}
    timeout = httpx.Timeout(10, read=60)  # the service sends a comment after 15 s without an event
    async with record.stream("GET", path, headers=headers, timeout=timeout) as answer:
        if answer.raise_for_status().status_code == httpx.codes.NO_CONTENT:
            yield Event("end", {"reason": "ended"}, None)
        fields: dict[str, str] = {}
        async for line in _lines(answer):
            if not line and "data" in fields:
                retry = float(fields["retry"]) / 1000 if "retry" in fields else None
                yield Event(fields.get("event", "message"), json.loads(fields["data"]), retry)
            name, _, value = line.partition(": ")
            fields = {**fields, name: value} if line else {}


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    """Yield the lines of an answer. `aiter_lines` would also split at U+2028, which a message may contain."""
    rest = b""
    async for piece in answer.aiter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line.decode()


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    token = os.environ.get("VERBATIM_TOKEN")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    url = f"{os.environ.get('VERBATIM_URL', 'http://127.0.0.1:8000')}/api/v1/"
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as record,
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=4) as database,
    ):
        await database.execute(_REMEMBER)
        orchestrator = Orchestrator(record, database, os.environ["WEBHOOK_SECRET"])
        try:
            yield {"orchestrator": orchestrator}
        finally:
            await orchestrator.close()


app = FastAPI(title="A small orchestrator", lifespan=_lifespan)


async def _orchestrator(request: Request) -> Orchestrator:
    found: Orchestrator = request.state.orchestrator
    return found


@app.post("/hook", status_code=204)
async def hook(request: Request, orchestrator: Annotated[Orchestrator, Depends(_orchestrator)]) -> None:
    """Accept a delivery. After an error answer the service sends the delivery again."""
    body = await request.body()
    try:
        orchestrator.webhook.verify(body, dict(request.headers))
    except WebhookVerificationError:
        raise HTTPException(401, "The signature does not match the secret.") from None
    event = json.loads(body)
    if event["type"] == "intent.extracted":
        await orchestrator.act(request.headers["webhook-id"], Intent.model_validate(event["data"]))
