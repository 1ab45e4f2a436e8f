"""What counts as a turn, an interruption, an incident, an abandoned and an incomplete call: SQL that figures share.

`docs/figures.md` says the same to readers. In each expression ``m`` is a row of `messages`, ``c`` of `conversations`,
``s`` of `voice_sessions` and ``e`` of `voice_events`.
"""

from typing import Final

from backend.vocabulary import ABANDONED, ASIDES, INCIDENTS, Source

# A message that belongs to a turn. A backchannel ("uh-huh") or a filler interrupts no turn and begins none.
SPEAKS: Final = f"""
    m.role IN ('user', 'assistant')
        AND (m.metadata ? 'behavior' AND m.metadata ->> 'behavior' IN {ASIDES}) IS NOT TRUE
"""
INTERRUPTED: Final = """(m.role = 'assistant' AND m.metadata @> '{"interrupted": true}') IS TRUE"""
# The two sides of a function call have one call_id; a message without one is a whole call.
CALLED: Final = "CASE m.role WHEN 'function' THEN coalesce(m.metadata ->> 'call_id', m.id::text) END"
# The metadata of an answer that may hold latencies, else NULL. Looking for each of their shapes costs more than this.
MEASURED: Final = """
    CASE WHEN m.role = 'assistant' AND (m.metadata ? 'latency' OR m.metadata ? 'metrics') THEN m.metadata END
"""
# A constant, so that PostgreSQL uses the partial indexes.
IS_INCIDENT: Final = f"e.type IN {INCIDENTS}"
# The end of a conversation is presumed if the end of the voice session that ended it is. An aggregate of its sessions.
IS_PRESUMED: Final = f"coalesce(bool_or(s.ended_at = c.ended_at AND s.end_reason = '{ABANDONED}'), false)"
# What the receipts of a conversation's sessions say together, as one row; see `voice_session_dao` for one receipt.
# As each side is in order, PostgreSQL merges two indexes, and sorts nothing to find what is distinct.
RECEIPTS: Final = f"""
    SELECT count(*) AS sessions, coalesce(sum(missing), 0)::bigint AS missing,
        coalesce(bool_and(missing = 0 AND is_final), true) AS complete, {IS_PRESUMED} AS is_presumed
    FROM (
        SELECT s.ended_at, s.end_reason,
            s.ended_at IS NOT NULL AND s.end_reason IS DISTINCT FROM '{ABANDONED}' AS is_final,
            greatest(highest, s.last_client_sequence, 0)::bigint - received + s.client_lost AS missing
        FROM voice_sessions AS s CROSS JOIN LATERAL (
            SELECT count(DISTINCT number) AS received, max(number) AS highest FROM (
                (SELECT client_sequence AS number FROM messages
                WHERE conversation_id = s.conversation_id AND voice_session_id = s.id AND client_sequence > 0
                ORDER BY client_sequence)
                UNION ALL
                (SELECT client_sequence FROM voice_events
                WHERE conversation_id = s.conversation_id AND voice_session_id = s.id AND client_sequence > 0
                ORDER BY client_sequence)
                ORDER BY number
            ) AS arrived
        ) AS counted
        WHERE s.conversation_id = c.id
    ) AS s
"""  # noqa: S608 -- made of constants
_NAMED: Final = "', '".join(source for source in Source if source is not Source.POSTS)


def is_from(source: Source, provider: str) -> str:
    """Return the SQL condition that ``provider``, SQL of a text that may be NULL, is what ``source`` writes."""
    if source is Source.POSTS:
        return f"({provider} IN ('{_NAMED}')) IS NOT TRUE"
    return f"{provider} = '{source}'"


# What recorded a conversation: its first voice session or, without one, its first message.
PROVIDER: Final = """
    coalesce(
        (SELECT s.provider FROM voice_sessions AS s WHERE s.conversation_id = c.id ORDER BY s.started_at, s.id LIMIT 1),
        (SELECT m.metadata ->> 'provider' FROM messages AS m WHERE m.conversation_id = c.id AND m.sequence = 1)
    )
"""
