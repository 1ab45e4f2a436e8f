"""SQL that reads what a timeline is made of: messages, voice sessions, and the events of the sessions.

Each statement returns a bounded number of rows, and of each row a bounded number of bytes: texts and metadata may be
long, so PostgreSQL takes what is needed out of them.

An event belongs to the message of its session after which it came, in the phone's numbering or, without a number, in
the order of recording; before the first message it belongs to the beginning of the session. So each event belongs to
one page, and an index leads to the events of a page.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.ownership import OWNER_SQL, reaches_sql
from backend.vocabulary import ABANDONED, INCIDENTS, LARGEST_INT

WORDS: Final = 160  # characters of a text that are read for a label
LONGEST: Final = 3_000  # characters up to which the length of a text is counted
MOST_EVENTS: Final = 20  # of each kind that are read after one message

# The types of events that tell when a side speaks, and when the connection is made.
_SPEECH: Final = ("Welcome", "UserStartedSpeaking", "AgentStartedSpeaking", "AgentAudioDone")
# The host's columns may hold times outside the years 1 to 9999, which no `datetime` can hold.
_READABLE: Final = "least(greatest({}, '0001-01-02Z'), '9999-12-30Z')"
_SPAN: Final = f"""
    SELECT coalesce(
        least(
            (SELECT min(timestamp) FROM messages WHERE conversation_id = $1),
            (SELECT min(started_at) FROM voice_sessions WHERE conversation_id = $1)
        ),
        {_READABLE.format("created_at")}
    ), CASE WHEN ended_at IS NOT NULL THEN {_READABLE.format("ended_at")} END
    FROM conversations WHERE id = $1 AND {reaches_sql("$2::text", OWNER_SQL.format("conversations"))}
"""  # noqa: S608 -- made of constants
_COLUMNS: Final = f"""
    id, sequence, role, timestamp, created_at, input_modality = 'voice',
    left(content, {WORDS}), char_length(left(content, {LONGEST})),
    metadata ->> 'provider' = 'deepgram', left(metadata ->> 'behavior', 20), metadata -> 'interrupted' = 'true',
    left(metadata ->> 'started_at', 40), left(metadata ->> 'ended_at', 40),
    left(metadata ->> 'name', 80), left(metadata ->> 'call_id', 255), left(metadata ->> 'state', 20),
    left(metadata ->> 'repaired', 160), voice_session_id, client_sequence
"""
_AFTER: Final = """
    FROM messages WHERE conversation_id = $1 AND (timestamp, sequence) > ($2, $3) ORDER BY timestamp, sequence LIMIT $4
"""
_BEFORE: Final = """
    FROM messages WHERE conversation_id = $1 AND (timestamp, sequence) <= ($2, $3)
    ORDER BY timestamp DESC, sequence DESC LIMIT $4
"""
_FUNCTIONS: Final = f"""
    SELECT * FROM ((SELECT {_COLUMNS} {{0}}) UNION ALL (SELECT {_COLUMNS} {{1}})) AS near WHERE role = 'function'
    ORDER BY timestamp, sequence
""".format(_BEFORE, _AFTER.replace("$2, $3", "$5, $6"))  # noqa: S608 -- made of constants
_EARLIER: Final = "ORDER BY started_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
_SESSIONS: Final = f"""
    SELECT * FROM (
        SELECT id, started_at, ended_at, left(end_reason, 80), client_lost,
            CASE WHEN NOT bool_or(ended_at IS NULL) OVER earlier THEN max(ended_at) OVER earlier END,
            max(ended_at) FILTER (WHERE end_reason = '{ABANDONED}') OVER earlier,
            started_at > $3 OR (started_at = $3 AND id > $4) AS is_after
        FROM voice_sessions WHERE conversation_id = $1 WINDOW earlier AS ({_EARLIER})
    ) AS session
    WHERE id = ANY($2::text[]) OR is_after
    ORDER BY started_at, id LIMIT $5
"""  # noqa: S608 -- made of constants


def _events(types: tuple[str, ...]) -> str:
    """Return SQL for the first events of ``types`` that belong to ``anchor``, numbered and not, each by an index."""
    select = f"""
        SELECT type, received_at, time_estimated, client_sequence, number,
            left(coalesce(detail ->> 'code', detail ->> 'message', detail ->> 'description'), {WORDS}) AS detail
        FROM voice_events WHERE conversation_id = $1 AND voice_session_id = anchor.session AND type IN {types}
    """  # noqa: S608 -- made of constants
    return f"""
        (
            {select} AND client_sequence >= anchor.number AND client_sequence < coalesce(next.number, {LARGEST_INT + 1})
            ORDER BY client_sequence, after_sequence, number LIMIT {MOST_EVENTS}
        ) UNION ALL (
            {select} AND client_sequence IS NULL AND after_sequence >= anchor.sequence
                AND (next.sequence IS NULL OR after_sequence < next.sequence)
            ORDER BY after_sequence, number LIMIT {MOST_EVENTS}
        )
    """


_OF_ANCHORS: Final = f"""
    SELECT place, next.number IS NULL AND next.sequence IS NULL, type, received_at, time_estimated, detail
    FROM unnest($2::text[], $3::int[], $4::bigint[]) WITH ORDINALITY AS anchor (session, number, sequence, place)
    CROSS JOIN LATERAL (
        SELECT (
            SELECT min(client_sequence) FROM messages
            WHERE conversation_id = $1 AND voice_session_id = anchor.session AND client_sequence > anchor.number
        ) AS number, (
            SELECT min(sequence) FROM messages
            WHERE conversation_id = $1 AND voice_session_id = anchor.session AND client_sequence IS NULL
                AND sequence > anchor.sequence
        ) AS sequence
    ) AS next
    LEFT JOIN LATERAL (
        {_events(_SPEECH)}
        UNION ALL {_events(INCIDENTS)}
    ) AS event ON true
    ORDER BY place, client_sequence NULLS LAST, event.number
"""  # noqa: S608 -- made of constants


class Span(NamedTuple):
    """When a conversation began, by its first message or voice session, and when it ended, if it has."""

    started_at: datetime
    ended_at: datetime | None


class SaidRow(NamedTuple):
    """What a timeline needs of a message.

    ``words`` are its first characters, ``length`` is its length in characters, but at most `LONGEST`. ``forwarded``
    tells whether it was made of an event of Deepgram's. ``began_at`` and ``ended_at`` are what the sender wrote into
    the metadata, which may be any text.
    """

    id: UUID
    sequence: int
    role: str
    at: datetime
    recorded_at: datetime
    spoken: bool
    words: str
    length: int
    forwarded: bool | None
    behavior: str | None
    interrupted: bool | None
    began_at: str | None
    ended_at: str | None
    name: str | None
    call_id: str | None
    state: str | None
    repaired: str | None
    session: str | None
    number: int | None


class SessionRow(NamedTuple):
    """What a timeline needs of a voice session.

    ``previous_end`` is when the last of the earlier sessions ended, None while one of them is open or if there is none;
    ``previous_silence`` is the last presumed end of one of them. ``is_after`` tells whether it began after the place
    that was asked for.
    """

    id: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    client_lost: int
    previous_end: datetime | None
    previous_silence: datetime | None
    is_after: bool | None


class Anchor(NamedTuple):
    """What events belong to: a message of a session, by its ``number`` or else its ``sequence``, or its beginning."""

    session: str
    number: int | None
    sequence: int | None


class EventRow(NamedTuple):
    """An event of an anchor. ``estimated`` tells that ``at`` is the time of arrival; ``detail`` is its first words."""

    type: str
    at: datetime
    estimated: bool
    detail: str | None


class AnchorRow(NamedTuple):
    """The events of an anchor, in their order, and whether the session has no message after it."""

    last: bool
    events: list[EventRow]


class TimelineDAO:
    """The statements that read timelines, on the driver's ``connection``."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def span(self, conversation_id: UUID, owner: str | None) -> Span | None:
        """Return the span of the conversation if it belongs to ``owner`` (None admits every owner), else None."""
        row = await self._connection.fetchrow(_SPAN, conversation_id, owner)
        return Span(*row) if row else None

    async def said(self, conversation_id: UUID, at: datetime, sequence: int, limit: int) -> list[SaidRow]:
        """Return up to ``limit`` messages in spoken order, from after the time and sequence (exclusive)."""
        query = f"SELECT {_COLUMNS} {_AFTER}"
        return [SaidRow(*row) for row in await self._connection.fetch(query, conversation_id, at, sequence, limit)]

    async def said_before(self, conversation_id: UUID, at: datetime, sequence: int, limit: int) -> list[SaidRow]:
        """Return the last ``limit`` messages up to the time and sequence (inclusive), in spoken order."""
        query = f"SELECT {_COLUMNS} {_BEFORE}"
        rows = await self._connection.fetch(query, conversation_id, at, sequence, limit)
        return [SaidRow(*row) for row in reversed(rows)]

    async def functions_around(self, conversation_id: UUID, first: SaidRow, last: SaidRow, limit: int) -> list[SaidRow]:
        """Return the messages of functions among the ``limit`` before ``first`` and the ``limit`` after ``last``."""
        places = first.at, first.sequence - 1, limit, last.at, last.sequence
        return [SaidRow(*row) for row in await self._connection.fetch(_FUNCTIONS, conversation_id, *places)]

    async def sessions(
        self, conversation_id: UUID, named: Collection[str], after: tuple[datetime, str | None], limit: int
    ) -> list[SessionRow]:
        """Return those of the conversation's sessions that are ``named``, and up to ``limit`` that began after a place.

        ``after`` is a time and the id of a session that began then; without the id, only later sessions are returned.
        """
        rows = await self._connection.fetch(_SESSIONS, conversation_id, named, *after, len(named) + limit)
        return [SessionRow(*row) for row in rows]

    async def events(self, conversation_id: UUID, anchors: Sequence[Anchor]) -> list[AnchorRow]:
        """Return the events of each of ``anchors``; its session must be one of the conversation's.

        Of the speech of an anchor, and of its incidents, the first `MOST_EVENTS` each are returned.
        """
        found: list[AnchorRow] = []
        columns = [*zip(*anchors, strict=True)] or [(), (), ()]
        for place, last, *event in await self._connection.fetch(_OF_ANCHORS, conversation_id, *columns):
            if place > len(found):
                found.append(AnchorRow(last, []))
            if event[0] is not None:
                found[-1].events.append(EventRow(*event))
        return found
