"""The command that searches the record."""

import sys
from datetime import datetime
from typing import Annotated, Final

import orjson
import typer
from rich.text import Text

from backend.cli.access import run_with_database
from backend.cli.terminal import console, stderr, utc
from backend.dao_service.connection.database import Database
from backend.errors import Invalid, SearchDisabled, SettingsError
from backend.formats.invisible import visible
from backend.principal import LOCAL
from backend.schemas.fields import JsonObject
from backend.schemas.parsing import parse_item
from backend.schemas.search import LARGEST_PAGE, Accents, SearchQuery
from backend.services import search as searches
from backend.services.search import Hit
from backend.settings import Settings
from backend.vocabulary import ContextType
from verbatim_record.vocabulary import Role

_BEFORE: Final = 80  # characters of a message that are shown before the first that was found
_SHOWN: Final = 320  # characters of a message that are shown
_ONE_LINE: Final = str.maketrans("\n\r\t", "   ")


def search(  # noqa: PLR0913 -- each is one option
    query: Annotated[str, typer.Argument(help='Words that all must occur: "a phrase", -not, begin*.')],
    *,
    subject: Annotated[str | None, typer.Option(help="Only conversations of this subject.")] = None,
    role: Annotated[Role | None, typer.Option(help="Only messages of this role.")] = None,
    context_type: Annotated[ContextType | None, typer.Option(help="Only conversations of this type.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only messages said at this time (UTC) or later.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only messages said before this time (UTC).")] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Find the accents that are typed, and no others.")] = False,
    limit: Annotated[int, typer.Option(help="Messages to print at most.", min=1)] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per message.")] = False,
) -> None:
    """Print the messages in which the words of a query were said, the newest first."""
    if not Settings.from_environment().search:
        raise SearchDisabled
    wanted: JsonObject = {
        "q": query,
        "user_id": subject,
        "role": role,
        "context_type": context_type,
        "since": utc(since),
        "until": utc(until),
        "accents": Accents.EXACT if exact else Accents.IGNORE,
        "limit": min(limit, LARGEST_PAGE),
    }
    try:
        asked = parse_item(SearchQuery, wanted)
        run_with_database(lambda database: _search(database, asked, limit, json=json))
    except Invalid as error:
        faults = (f"{fault.pointer.rpartition('/')[2]} {fault.detail}" for fault in error.faults)
        raise SettingsError(f"The search cannot be made: {'; '.join(faults)}.") from None


async def _search(database: Database, query: SearchQuery, limit: int, *, json: bool) -> None:
    left = limit
    while True:
        page = await searches.page(database, LOCAL, query)
        for hit in page.data[:left]:
            if json:
                sys.stdout.buffer.write(orjson.dumps(hit.members(), option=orjson.OPT_APPEND_NEWLINE))
            else:
                console.print(_line(hit), soft_wrap=True)
        left -= len(page.data)
        if left <= 0 or not page.has_more:
            break
        query = query.model_copy(update={"cursor": page.next_cursor})
    if left == limit:
        stderr.print("Nothing was found.")


def _line(hit: Hit) -> Text:
    """Return the time, the conversation, the role, and what was said, in which the words that were found are marked."""
    message = orjson.loads(hit.row.document)
    content: str = message["content"]
    time = message["timestamp"][:19].replace("T", " ")
    line = Text(f"[{time}] {hit.row.conversation_id} {message['role']}: ")
    place = max(0, hit.ranges[0][0] - _BEFORE) if hit.ranges else 0
    last = min(len(content), place + _SHOWN)
    line.append("…" if place else "")
    for start, end in hit.ranges:
        if end <= last:
            line.append(_plain(content[place:start]))
            line.append(_plain(content[start:end]), style="bold reverse")
            place = end
    return line.append(_plain(content[place:last])).append("…" if last < len(content) else "")


def _plain(text: str) -> str:
    return visible(text.translate(_ONE_LINE))
