"""Reading messages in portions: as many as fit into a number of rows and a number of bytes, and at least one.

PostgreSQL itself writes a message as JSON, once and for all ways out: what a sender is answered, what a page shows and
what a transcript holds are the same bytes. They stay bytes up to the socket, because a Python `str` with one emoji
takes four bytes for each of its characters.

A message may be very long, so a number of rows does not bound memory. A running sum in SQL would, but made a page of
100 ordinary messages a third dearer. Instead a statement returns a row's document at once only if the row is no longer
than an even share of the bytes. Of a longer row it returns the size alone, which PostgreSQL knows without reading the
text, and a second statement fetches the long ones that fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar, cast

import asyncpg

RowT = TypeVar("RowT")

# Formatted with the name of the table. Times are RFC 3339 in UTC; the connection writes dates as ISO.
DOCUMENT: Final = """
    SELECT {0}.id, {0}.conversation_id, {0}.sequence, {0}.role, {0}.content, {0}.input_modality,
        coalesce({0}.metadata, '{{}}') AS metadata,
        replace(({0}.timestamp AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z' AS timestamp,
        replace(({0}.created_at AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z' AS created_at,
        {0}.voice_session_id, {0}.client_sequence
"""
_AS_BYTES: Final = "convert_to(row_to_json(document)::text, 'UTF8')"
_FROM: Final = f"FROM messages AS m CROSS JOIN LATERAL ({DOCUMENT.format('m')}) AS document"
# Bytes of text and metadata, before JSON escapes them; a text of control characters becomes six times as long.
_SIZE: Final = """
    octet_length(m.content) + CASE WHEN pg_column_compression(m.metadata) IS NULL
        THEN coalesce(pg_column_size(m.metadata), 0) ELSE octet_length(m.metadata::text) END
"""
_LONG: Final = f"SELECT m.id, {_AS_BYTES} {_FROM} WHERE m.id = ANY($1)"


@dataclass(frozen=True, slots=True)
class Bounds:
    """At most ``rows`` messages, of at most ``size`` bytes together unless the first alone is longer."""

    rows: int
    size: int

    def fitting(self, found: Sequence[RowT], size_of: Callable[[RowT], int]) -> Sequence[RowT]:
        """Return the first of ``found``: as many as fit, and at least one."""
        size = 0
        for place, row in enumerate(found[: self.rows]):
            size += size_of(row)
            if size > self.size and place:
                return found[:place]
        return found[: self.rows]


class Portion(NamedTuple):
    """The messages that fit, each as its JSON and the columns asked for, and whether more were found."""

    rows: Sequence[tuple[Any, ...]]
    more: bool


def statement(columns: str, clauses: str) -> str:
    """Return a statement for `fetch`: ``columns`` of `m`, the messages; its parameters are numbered from $3."""
    short = f"CASE WHEN {_SIZE} <= $2 THEN {_AS_BYTES} END"
    return f"SELECT {short}, m.id, {_SIZE}, {columns} {_FROM} {clauses} LIMIT $1"


async def fetch(connection: asyncpg.Connection, query: str, bounds: Bounds, *values: object) -> Portion:
    """Return what ``query``, made by `statement`, finds first.

    A message that is erased between the two statements is left out.
    """
    found = await connection.fetch(query, bounds.rows + 1, bounds.size // (bounds.rows + 1), *values)
    fitting = bounds.fitting(found, lambda row: cast("int", row[2]))
    long = [row[1] for row in fitting if row[0] is None]
    if not long:
        return Portion([(row[0], *row[3:]) for row in fitting], len(found) > len(fitting))
    documents = {row[0]: row[1] for row in await connection.fetch(_LONG, long)}
    rows = [(row[0] or documents.get(row[1]), *row[3:]) for row in fitting]
    return Portion([row for row in rows if row[0]], len(found) > len(fitting))
