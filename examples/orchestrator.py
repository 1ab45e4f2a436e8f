"""A small orchestrator: it receives intents, makes goals and tasks, links conversations to them, and follows calls.

    VERBATIM_URL=http://127.0.0.1:8000 DATABASE_URL=postgresql://… WEBHOOK_SECRET=whsec_… \
        uvicorn examples.orchestrator:app --port 9000

The service is started with VERBATIM_ORCHESTRATOR_URL=http://127.0.0.1:9000/hook, the same secret in
VERBATIM_ORCHESTRATOR_SECRETS, and VERBATIM_ORCHESTRATOR_PRIVATE=true, because both are on one machine. VERBATIM_TOKEN
is a service token with `conversations:read:any` and `conversations:write:any`; in local mode none is needed.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from fastapi import Depends, FastAPI, HTTPException, Request

from verbatim_record import AsyncClient, WebhookVerificationError, webhooks
from verbatim_record.models import ExtractedIntent, IntentExtracted
from verbatim_record.problems import ConversationNotFound

# A delivery comes at least once. Its id is stored in one transaction with the goal or task, so that a repetition does
# nothing.
_REMEMBER: Final = """
    CREATE TABLE IF NOT EXISTS orchestrator_done (
        webhook_id text PRIMARY KEY, target uuid NOT NULL, done_at timestamptz DEFAULT now()
    )
"""
_MAKE: Final = "INSERT INTO {} DEFAULT VALUES RETURNING id"  # the host application's tables may require more columns
_DONE: Final = "INSERT INTO orchestrator_done (webhook_id, target) VALUES ($1, $2) ON CONFLICT DO NOTHING"


class Orchestrator:
    """Acts on intents."""

    def __init__(self, record: AsyncClient, database: asyncpg.Pool) -> None:
        self.record = record
        self.database = database
        self._following: dict[UUID, asyncio.Task[None]] = {}

    async def act(self, webhook_id: str, intent: ExtractedIntent) -> None:
        """Make the goal or task, once for each ``webhook_id``, and link the conversation to it."""
        conversation, conversations = intent.conversation_id, self.record.conversations
        transcript = await conversations.transcript(conversation)
        print(f"orchestrator  {intent.intent} {intent.payload}, from {len(transcript.messages)} messages")
        if intent.intent == "GOAL":
            goal = await self._make(webhook_id, "goals")
            await conversations.link(conversation, linked_goal_id=goal)
            print(f"orchestrator  linked_goal_id is {goal}")
        else:
            task = await self._make(webhook_id, "tasks")
            await conversations.link(conversation, linked_task_id=task)
            print(f"orchestrator  linked_task_id is {task}")
        if conversation not in self._following:
            self._following[conversation] = asyncio.create_task(self.follow(conversation))

    async def _make(self, webhook_id: str, table: str) -> UUID:
        async with self.database.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", webhook_id)
            done = await connection.fetchval("SELECT target FROM orchestrator_done WHERE webhook_id = $1", webhook_id)
            target: UUID = done or await connection.fetchval(_MAKE.format(table))
            await connection.execute(_DONE, webhook_id, target)
        return target

    async def follow(self, conversation: UUID) -> None:
        """Print the messages of the conversation until it ends; the client opens a lost stream again by itself."""
        try:
            async for sequence, message in self.record.conversations.follow(conversation):
                print(f"orchestrator  hears {sequence:>2} {message.role}: {message.content}")
        except ConversationNotFound:
            print("orchestrator  the conversation was erased")
        else:
            print("orchestrator  the conversation has ended")

    async def close(self) -> None:
        """End all streams."""
        for task in self._following.values():
            task.cancel()
        await asyncio.gather(*self._following.values(), return_exceptions=True)


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    url, token = os.environ.get("VERBATIM_URL", "http://127.0.0.1:8000"), os.environ.get("VERBATIM_TOKEN")
    async with (
        AsyncClient(url, token) as record,
        asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=4) as database,
    ):
        await database.execute(_REMEMBER)
        orchestrator = Orchestrator(record, database)
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
    try:
        webhook = webhooks.verify(await request.body(), request.headers, os.environ["WEBHOOK_SECRET"])
    except WebhookVerificationError as error:
        raise HTTPException(401, str(error)) from None
    if isinstance(webhook.event, IntentExtracted):
        await orchestrator.act(webhook.id, webhook.event.data)
