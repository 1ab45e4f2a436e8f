"""Tools that read conversations: their list, what was said, what happened, and whether the record is complete."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import TypeVar

import orjson
from pydantic import Field

from backend.formats.text import text
from backend.mcp_server.answers import LONGEST_LINE, Lines, answer, as_json, fitting, marked
from backend.mcp_server.arguments import Arguments, ConversationId, Cursor, Limit
from backend.schemas.fields import Instant
from backend.vocabulary import ContextType, Intent
from verbatim_record.async_client import AsyncClient, AsyncPages
from verbatim_record.calls import Page
from verbatim_record.models import ConversationResponse, MessageResponse, Role

ItemT = TypeVar("ItemT")


class ConversationsArguments(Arguments):
    """What to list."""

    context_type: ContextType | None = None
    intent: Intent | None = Field(default=None, description="Only those in which the assistant understood this intent.")
    ended: bool | None = Field(default=None, description="Only those that have ended, or only those that have not.")
    since: Instant | None = Field(default=None, description="Created at this time or later, as 2026-01-31T09:30:00Z.")
    until: Instant | None = Field(default=None, description="Created before this time.")
    limit: Limit = 20
    cursor: Cursor | None = None


class TranscriptArguments(Arguments):
    """What to read of a conversation."""

    conversation_id: ConversationId
    role: Role | None = Field(default=None, description="Only what this role said.")
    limit: Limit = 100
    cursor: Cursor | None = None


class TimelineArguments(Arguments):
    """What to read of a timeline."""

    conversation_id: ConversationId
    limit: Limit = 100
    cursor: Cursor | None = None


class ReceiptArguments(Arguments):
    """Whose receipt to read."""

    voice_session_id: str = Field(max_length=200, description="The id of the voice session, as vs_….")


async def list_conversations(client: AsyncClient, wanted: ConversationsArguments) -> str:
    """Return a page of conversations, without what was said in them."""
    filters = wanted.model_dump(exclude={"limit", "cursor"})

    async def fetch(limit: int) -> Lines:
        found = client.conversations.list(**filters, limit=limit, cursor=wanted.cursor)
        return lines_of(await first_page(found), _conversation)

    return answer(await fitting(fetch, wanted.limit))


async def get_transcript(client: AsyncClient, wanted: TranscriptArguments) -> str:
    """Return a page of what was said, in spoken order."""

    async def fetch(limit: int) -> Lines:
        found = client.messages.list(wanted.conversation_id, role=wanted.role, limit=limit, cursor=wanted.cursor)
        return lines_of(await first_page(found), message_line)

    return answer(await fitting(fetch, wanted.limit))


async def get_timeline(client: AsyncClient, wanted: TimelineArguments) -> str:
    """Return a part of what happened in a conversation."""

    async def fetch(limit: int) -> Lines:
        found = await client.conversations.timeline(wanted.conversation_id, limit=limit, cursor=wanted.cursor)
        return Lines([as_json(asdict(each)) for each in found.segments], found.next_cursor if found.has_more else None)

    return answer(await fitting(fetch, wanted.limit))


async def get_receipt(client: AsyncClient, wanted: ReceiptArguments) -> str:
    """Return the receipt of a voice session."""
    return answer(Lines([as_json(asdict(await client.sessions.receipt(wanted.voice_session_id)))]))


async def first_page(found: AsyncPages[ItemT]) -> Page[ItemT]:
    """Return the first page of a list; raises VerbatimError."""
    async with aclosing(found.pages()) as pages:
        return await anext(pages)


def lines_of(page: Page[ItemT], write: Callable[[ItemT], str]) -> Lines:
    """Return the items of a page as lines that ``write`` makes."""
    return Lines([*map(write, page.data)], page.next_cursor if page.has_more else None)


def message_line(row: MessageResponse) -> str:
    """Return a message as a line: its place in the record, when it was said, by whom, and its words."""
    # One character more than is shown, so that it is marked as cut.
    said = {"role": row.role, "content": row.content[: LONGEST_LINE + 1], "timestamp": row.timestamp.isoformat()}
    return marked(f"#{row.sequence} {text(orjson.dumps(said)).decode().rstrip()}")


def _conversation(row: ConversationResponse) -> str:
    # Without the payload of the intent: `get_transcript` has what was said.
    shown = asdict(row)
    for name in ("intent_payload", "etag", "updated_at"):
        del shown[name]
    return as_json({name: value for name, value in shown.items() if value is not None})
