"""SQL that reads the turns of a voice session: its messages, and its events that concern them, in one order.

A client chooses how long a session is and how its events are numbered, so the rows that are read are bounded. Four
queries, for numbered and unnumbered messages and for numbered and unnumbered events, each read through an index the
entries that are nearest to the places in question. Few entries hold the turns of most calls, so few are read first.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from backend.dao_service.voice_arrival_dao import UNCOUNTED, KnownSession
from backend.vocabulary import ASIDES, Enrichment

# Entries that each query reads before the place in question, and from there on; a batch of events has at most 500.
_FEW: Final = (30, 150)
_MANY: Final = (500, 2_000)
# The metadata that concerns a turn; that of most messages has none of it, and is not read.
_CONCERNING: Final = ["behavior", *map(str, Enrichment)]
_MESSAGES: Final = f"""
    SELECT {{place}} AS place, 0 AS late, sequence AS number, role AS kind, id,
        CASE WHEN metadata ?| ARRAY{_CONCERNING} THEN metadata::text END AS detail,
        role = 'user' AND coalesce(metadata ->> 'behavior', '') NOT IN {ASIDES} AS opening
    FROM messages WHERE voice_session_id = $1 AND conversation_id = $2 AND {{which}}
"""  # noqa: S608 -- made of constants
_EVENTS: Final = """
    SELECT {place}, 1, number, type, id, detail::text, false
    FROM voice_events WHERE voice_session_id = $1 AND conversation_id = $2 AND {which} AND type IN (
        'Welcome', 'UserStartedSpeaking', 'AgentStartedSpeaking', 'AgentAudioDone', 'LatencyReport'
    )
"""
# Each is in the order of its index. PostgreSQL does not know that a column which is NULL has one value.
_WAYS: Final = (
    (_MESSAGES, "client_sequence", "client_sequence, sequence", "client_sequence {side} $3::bigint"),
    (
        _MESSAGES,
        f"{UNCOUNTED} + sequence",
        "client_sequence, sequence",
        f"client_sequence IS NULL AND sequence {{side}} $3::bigint - {UNCOUNTED}",
    ),
    (
        _EVENTS,
        "client_sequence",
        "client_sequence, after_sequence, number",
        "client_sequence {side} $3::bigint",
    ),
    (
        _EVENTS,
        f"{UNCOUNTED} + after_sequence",
        "client_sequence, after_sequence, number",
        f"client_sequence IS NULL AND after_sequence {{side}} $3::bigint - {UNCOUNTED}",
    ),
)


def _nearest_entries(side: str, direction: str, most: int) -> str:
    """Return SQL for the ``most`` entries nearest to ``$3`` on one ``side``, from each of the four queries."""
    ways = (
        f"""(
            SELECT {way} AS way, near.* FROM (
                {table.format(place=place, which=which.format(side=side))}
                ORDER BY {order.replace(",", f" {direction},")} {direction} LIMIT {most}
            ) AS near
        )"""  # noqa: S608 -- made of constants
        for way, (table, place, order, which) in enumerate(_WAYS)
    )
    return " UNION ALL ".join(ways)


# Each of the four queries is bounded. Beyond the end of a query that has more rows an entry may be missing, so only the
# entries strictly inside of all four ends are returned.
def _turns(before: int, after: int) -> str:
    """Return the statement that reads the turns among ``before`` and ``after`` entries of each query."""
    return f"""
        WITH before AS MATERIALIZED ({_nearest_entries("<", "DESC", before)}),
        after AS MATERIALIZED ({_nearest_entries(">=", "ASC", after)}),
        ends AS (
            SELECT
                (SELECT max(place) FROM (
                    SELECT min(place) AS place FROM before GROUP BY way HAVING count(*) = {before}
                ) AS cut) AS lowest,
                (SELECT min(place) FROM (
                    SELECT max(place) AS place FROM after GROUP BY way HAVING count(*) = {after}
                ) AS cut) AS highest
        ),
        moments AS (
            SELECT place, late, number, kind, id, detail, opening
            FROM (TABLE before UNION ALL TABLE after) AS near, ends
            WHERE (lowest IS NULL OR place > lowest) AND (highest IS NULL OR place < highest)
        ),
        turns AS (
            SELECT (SELECT max(place) FROM moments WHERE opening AND place < $3::bigint) AS first,
                (SELECT min(place) FROM moments WHERE opening AND place > $4::bigint) AS last
        )
        SELECT kind, id, detail, CASE late WHEN 0 THEN number END,
            first IS NULL AND lowest IS NOT NULL, last IS NULL AND highest IS NOT NULL
        FROM moments, ends, turns
        WHERE (first IS NULL OR place >= first) AND (last IS NULL OR place <= last)
        ORDER BY place, late, number
    """  # noqa: S608 -- made of constants


_WINDOWS: Final = (_turns(*_FEW), _turns(*_MANY))


class TurnWindow(NamedTuple):
    """Entries of a session's timeline, and whether the first and the last turn among them are incomplete.

    An entry is a message (role, id, metadata) or an event (type, id, detail). The metadata is empty unless it names a
    behavior or holds an enrichment. ``sequences`` has that of each message, by its id.
    """

    entries: Sequence[tuple[str, UUID, Mapping[str, Any]]]
    sequences: Mapping[UUID, int]
    first_is_cut: bool
    last_is_cut: bool


async def turns(connection: asyncpg.Connection, session: KnownSession, first: int, last: int) -> TurnWindow:
    """Return the turns around the places from ``first`` to ``last``, both inclusive, in order.

    They are complete unless one has more than 500 entries before ``first``, or there are more than 2,000 from there.
    """
    for statement in _WINDOWS:
        rows = await connection.fetch(statement, session.id, session.conversation_id, first, last)
        entries = [(row[0], row[1], json.loads(row[2]) if row[2] else {}) for row in rows]
        sequences = {row[1]: row[3] for row in rows if row[3] is not None}
        window = TurnWindow(entries, sequences, *(rows[0][4:] if rows else (False, False)))
        if not (window.first_is_cut or window.last_is_cut):
            break
    return window
