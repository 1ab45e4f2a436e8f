"""Reading messages in portions that are bounded both in rows and in bytes, with at least one message each.

PostgreSQL writes each message as JSON, and every output uses these same bytes: the answer to the sender, a page and a
transcript. They stay bytes up to the socket, because a Python `str` with one emoji takes four bytes per character.

A message may have 1 MiB, so a number of rows does not bound memory. A running sum in SQL would, but it made a page of
100 ordinary messages a third slower (measured). Instead the first statement returns a row's JSON only if the row is not
much longer than an even share of the bytes. For a longer row it returns a stub of 40 bytes: the ids of its conversation
and its own, and its size, which PostgreSQL knows without reading the text. A second statement then fetches the long
rows that fit.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate, starmap
from typing import Final, Protocol, Self, TypeVar
from uuid import UUID

import asyncpg

AnyT = TypeVar("AnyT")

# The text that `row_to_json` makes of these columns, in three quarters of its time. A role or modality needs no escape.
# Times are RFC 3339 in UTC; the connection writes dates as ISO, and texts in UTF-8.
DOCUMENT: Final = """
    textsend(format(
        '{"id":"%s","conversation_id":"%s","sequence":%s,"role":"%s","content":%s,"input_modality":"%s","metadata":%s,'
        '"timestamp":"%sZ","created_at":"%sZ","voice_session_id":%s,"client_sequence":%s}',
        m.id, m.conversation_id, m.sequence, m.role, to_json(m.content), m.input_modality, coalesce(m.metadata, '{}'),
        replace((m.timestamp AT TIME ZONE 'UTC')::text, ' ', 'T'),
        replace((m.created_at AT TIME ZONE 'UTC')::text, ' ', 'T'),
        coalesce(to_json(m.voice_session_id)::text, 'null'), coalesce(m.client_sequence::text, 'null')
    ))
"""
# The size before JSON escapes the text; a text of control characters becomes six times as long.
_SIZE: Final = """
    octet_length(m.content) + CASE WHEN pg_column_compression(m.metadata) IS NULL
        THEN coalesce(pg_column_size(m.metadata), 0) ELSE octet_length(m.metadata::text) END
"""
# $1 is the size of the longest row whose document is sent at once. No document is as short as a stub.
_DOCUMENT: Final = f"""
    CASE WHEN octet_length(m.content) + coalesce(pg_column_size(m.metadata), 0) <= $1 THEN {DOCUMENT}
        ELSE uuid_send(m.conversation_id) || uuid_send(m.id) || int8send({_SIZE}) END
"""
_STUB: Final = 40  # bytes
_CONVERSATION: Final = slice(16)  # of those
_ID: Final = slice(16, 32)
_ROWS: Final = "<rows>"
_LIMITS: Final = (2, 6, 11, 21, 51, 101, 201, 501, 2_001)  # one more than what is often asked for, and at the most
_MUCH_LONGER: Final = 4  # times an even share of the bytes
# For SQLAlchemy: the JSON of one message.
ONE: Final = f"SELECT {DOCUMENT} FROM messages AS m WHERE m.conversation_id = :conversation AND m.id = :message"  # noqa: S608
_LONG: Final = f"""
    SELECT m.id, {DOCUMENT} FROM messages AS m WHERE m.conversation_id = ANY($1) AND m.id = ANY($2)
"""  # noqa: S608 -- made of constants


@dataclass(frozen=True, slots=True)
class Bounds:
    """At most ``rows`` messages, of at most ``size`` bytes together; the first is returned whatever its size."""

    rows: int
    size: int

    @property
    def share(self) -> int:
        """The largest size in bytes of a row whose JSON the first statement returns."""
        return _MUCH_LONGER * self.size // (self.rows + 1)

    def in_one(self, documents: list[bytes]) -> bool:
        """Return whether the first statement has returned all of ``documents``, so that they are of one moment."""
        return max(map(len, documents), default=0) <= self.share

    def limit(self, query: str) -> str:
        """Return ``query``, made by `statement`, with the number of rows that it returns at the most.

        The number is no parameter, because PostgreSQL takes an unknown LIMIT for a tenth of the rows. No plan for all
        values would look as cheap as one for this value, so it would plan each page anew: two thirds of its time for a
        page of one message (measured). It is one of a few numbers, because a connection keeps a hundred statements.
        """
        return query.replace(_ROWS, str(next(limit for limit in _LIMITS if limit > self.rows)))

    def fitting(self, found: list[AnyT], size_of: Callable[[AnyT], int]) -> list[AnyT]:
        """Return as many of ``found``, from the first on, as fit; at least one. ``size_of`` gives bytes."""
        sizes = [*accumulate(map(size_of, found[: self.rows]))]
        return found[: min(max(bisect_right(sizes, self.size), 1), self.rows)]


class _Row(Protocol):
    @property
    def document(self) -> bytes: ...

    def _replace(self, *, document: bytes) -> Self: ...


RowT = TypeVar("RowT", bound=_Row)


def statement(columns: str, clauses: str) -> str:
    """Return a statement for `fetch`, which selects the JSON and ``columns`` of `m` (the messages).

    ``clauses`` follow FROM. Its first parameter is the ``share`` of its Bounds, which also `limit` it.
    """
    return f"SELECT {_DOCUMENT}, {columns} FROM messages AS m {clauses} LIMIT {_ROWS}"  # noqa: S608 -- made of constants


async def fetch(
    connection: asyncpg.Connection, make: Callable[..., RowT], query: str, bounds: Bounds, *values: object
) -> tuple[list[RowT], bool]:
    """Run ``query``, made by `statement`, and return what `fitted` returns of its rows.

    ``make`` turns a row's columns into a result.
    """
    found = [*starmap(make, await connection.fetch(bounds.limit(query), bounds.share, *values))]
    return await fitted(connection, found, bounds)


async def fitted(connection: asyncpg.Connection, found: list[RowT], bounds: Bounds) -> tuple[list[RowT], bool]:
    """Return those of ``found``, the rows of a `statement`, that fit into ``bounds``, and whether there are more.

    A message that is erased between the two statements is left out.
    """
    rows = found[: bounds.rows]
    sizes = [len(row.document) for row in rows]
    if sum(sizes) > bounds.size or _STUB in sizes:
        rows = bounds.fitting(found, _size)
    more = len(found) > len(rows)
    if stubs := [row.document for row in rows if len(row.document) == _STUB]:
        ids = ({UUID(bytes=stub[part]) for stub in stubs} for part in (_CONVERSATION, _ID))
        long = await connection.fetch(_LONG, *ids)
        documents = {row[0].bytes: row[1] for row in long}
        whole = [row._replace(document=documents.get(row.document[_ID], row.document)) for row in rows]
        rows = [row for row in whole if len(row.document) != _STUB]
    return rows, more


def _size(row: _Row) -> int:
    size = len(row.document)
    return size if size != _STUB else int.from_bytes(row.document[_ID.stop :])
