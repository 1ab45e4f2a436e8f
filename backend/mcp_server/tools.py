"""The tools: what each reads, by which calls of the API, and how it says so to a model."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from backend.formats.text import text
from backend.mcp_server.answers import LONGEST_LINE, Lines, answer, as_json, fitting, marked
from backend.schemas.fields import Instant
from backend.vocabulary import ContextType, Intent
from verbatim_record.async_client import AsyncClient, AsyncPages
from verbatim_record.calls import Page
from verbatim_record.models import ConversationResponse, MessageResponse, Role

ArgumentsT = TypeVar("ArgumentsT", bound=BaseModel)
ItemT = TypeVar("ItemT")

Cursor = Annotated[str, Field(max_length=200, description="The cursor of the previous answer, to read on behind it.")]
_Limit = Annotated[
    int, Field(ge=1, le=200, description="How many at most; an answer that would be too long has fewer.")
]
_Conversation = Annotated[UUID, Field(description="The id of the conversation.")]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ConversationsArguments(_Arguments):
    """What to list."""

    context_type: ContextType | None = None
    intent: Intent | None = Field(default=None, description="Only those in which the assistant understood this intent.")
    ended: bool | None = Field(default=None, description="Only those that have ended, or only those that have not.")
    since: Instant | None = Field(default=None, description="Created at this time or later, as 2026-01-31T09:30:00Z.")
    until: Instant | None = Field(default=None, description="Created before this time.")
    limit: _Limit = 20
    cursor: Cursor | None = None


class TranscriptArguments(_Arguments):
    """What to read of a conversation."""

    conversation_id: _Conversation
    role: Role | None = Field(default=None, description="Only what this role said.")
    limit: _Limit = 100
    cursor: Cursor | None = None


class ReceiptArguments(_Arguments):
    """Whose receipt to read."""

    voice_session_id: str = Field(max_length=200, description="The id of the voice session, as vs_….")


@dataclass(frozen=True, slots=True)
class Tool(Generic[ArgumentsT]):
    """A tool; ``run`` returns its answer, and raises VerbatimError where the service refuses."""

    name: str
    title: str
    description: str
    arguments: type[ArgumentsT]
    run: Callable[[AsyncClient, ArgumentsT], Awaitable[str]]


async def _list_conversations(client: AsyncClient, wanted: ConversationsArguments) -> str:
    filters = wanted.model_dump(exclude={"limit", "cursor"})

    async def fetch(limit: int) -> Lines:
        found = client.conversations.list(**filters, limit=limit, cursor=wanted.cursor)
        return _lines(await _first(found), _conversation)

    return answer(await fitting(fetch, wanted.limit))


def _conversation(row: ConversationResponse) -> str:
    # Without the payload of the intent: `get_transcript` has what was said.
    shown = asdict(row)
    for name in ("intent_payload", "etag", "updated_at"):
        del shown[name]
    return as_json({name: value for name, value in shown.items() if value is not None})


async def _get_transcript(client: AsyncClient, wanted: TranscriptArguments) -> str:
    async def fetch(limit: int) -> Lines:
        found = client.messages.list(wanted.conversation_id, role=wanted.role, limit=limit, cursor=wanted.cursor)
        return _lines(await _first(found), _message)

    return answer(await fitting(fetch, wanted.limit))


def _message(row: MessageResponse) -> str:
    # One character more than is shown, so that it is marked as cut.
    said = {"role": row.role, "content": row.content[: LONGEST_LINE + 1], "timestamp": row.timestamp.isoformat()}
    return marked(f"#{row.sequence} {text(orjson.dumps(said)).decode().rstrip()}")


async def _get_receipt(client: AsyncClient, wanted: ReceiptArguments) -> str:
    receipt = asdict(await client.sessions.receipt(wanted.voice_session_id))
    return answer(Lines([as_json(receipt)]))


async def _first(found: AsyncPages[ItemT]) -> Page[ItemT]:
    async with aclosing(found.pages()) as pages:
        return await anext(pages)


def _lines(page: Page[ItemT], write: Callable[[ItemT], str]) -> Lines:
    return Lines([*map(write, page.data)], page.next_cursor if page.has_more else None)


TOOLS: Final[Sequence[Tool[Any]]] = (
    Tool(
        "list_conversations",
        "List conversations",
        "Lists conversations between people and the voice assistant, newest first, as one line of JSON each: id, times,"
        " number of messages, intent, latest voice session. Use it to find the id of a conversation by when it was or"
        " what it was about. It shows nothing that was said; get_transcript does.",
        ConversationsArguments,
        _list_conversations,
    ),
    Tool(
        "get_transcript",
        "Read a transcript",
        "Reads what was said in one conversation, in spoken order: the number in the record, time in UTC, role (user, "
        "assistant, system, function) and words. A function message is the arguments or the result of a function call. "
        "Long conversations take several calls, each with the cursor of the answer before.",
        TranscriptArguments,
        _get_transcript,
    ),
    Tool(
        "get_receipt",
        "Read the receipt of a call",
        "Reads the receipt of one voice session (one phone call): how many events of the phone are on record, which "
        "numbers are missing, and whether the record is complete. Use it before you say that something was not said.",
        ReceiptArguments,
        _get_receipt,
    ),
)
