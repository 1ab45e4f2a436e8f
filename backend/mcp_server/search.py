"""The tool that finds what was said."""

from dataclasses import replace

from pydantic import Field

from backend.mcp_server.answers import Lines, answer, fitting, marked
from backend.mcp_server.arguments import Arguments, Cursor, Limit
from backend.mcp_server.conversations import first_page, lines_of, message_line
from backend.schemas.fields import Instant
from backend.schemas.search import LARGEST_PAGE, MOST_CHARACTERS
from backend.vocabulary import ContextType
from verbatim_record.async_client import AsyncClient
from verbatim_record.models import Role, SearchHit, SearchNeighbour

_AROUND = 300  # characters of a message before and after the first words that were found


class SearchArguments(Arguments):
    """What to find."""

    query: str = Field(
        max_length=MOST_CHARACTERS,
        description='Words that must all occur in one message, in any order: `"a phrase"`, `-not`, `begin*`. Capitals '
        "and accents make no difference. Words are found as they were said: search for each language and each form.",
    )
    role: Role | None = Field(default=None, description="Only what this role said.")
    context_type: ContextType | None = None
    since: Instant | None = Field(default=None, description="Said at this time or later, as 2026-01-31T09:30:00Z.")
    until: Instant | None = Field(default=None, description="Said before this time.")
    limit: Limit = 10
    cursor: Cursor | None = None


async def search_conversations(client: AsyncClient, wanted: SearchArguments) -> str:
    """Return a page of the messages that were found, the newest first, each with the ones around it."""
    filters = wanted.model_dump(exclude={"query", "limit", "cursor"})

    async def fetch(limit: int) -> Lines:
        found = client.search(wanted.query, **filters, limit=min(limit, LARGEST_PAGE), cursor=wanted.cursor)
        return lines_of(await first_page(found), _hit)

    return answer(await fitting(fetch, wanted.limit))


def _hit(hit: SearchHit) -> str:
    message = hit.message
    start, end = hit.ranges[0] if hit.ranges else (0, 0)
    content = message.content[max(start - _AROUND, 0) : end + _AROUND]
    shown = message_line(replace(message, content=content if content == message.content else f"… {content} …"))
    around = [_neighbour("before", hit.before), shown, _neighbour("after", hit.after)]
    return "\n".join([f"conversation {hit.conversation_id}", *(line for line in around if line)])


def _neighbour(where: str, found: SearchNeighbour | None) -> str:
    # At the margin, where no line of a message but the first begins, and on one line.
    return marked(f"{where} it, #{found.sequence} {found.role}: {' '.join(found.content.split())}") if found else ""
