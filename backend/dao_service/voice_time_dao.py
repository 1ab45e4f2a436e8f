"""SQL that finds the times of a message's neighbours in the phone's numbering of a voice session."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Integer, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dao_service.models import VoiceSession

_NEAREST: Final = """
    LEFT JOIN LATERAL (
        SELECT client_sequence, timestamp FROM messages
        WHERE voice_session_id = :session AND conversation_id = :conversation AND client_sequence {side} wanted.number
        ORDER BY client_sequence {direction}, sequence {direction} LIMIT 1
    ) AS {name} ON true
"""
_NEIGHBOURS: Final = text(f"""
    SELECT wanted.number, before.client_sequence, before.timestamp, after.client_sequence, after.timestamp
    FROM unnest(:numbers) AS wanted (number)
    {_NEAREST.format(side="<", direction="DESC", name="before")}
    {_NEAREST.format(side=">", direction="ASC", name="after")}
""").bindparams(bindparam("numbers", type_=ARRAY(Integer)))  # noqa: S608 -- made of constants


class NumberedMessage(NamedTuple):
    """A message of a session: the phone's number, and the time at which it was said."""

    number: int
    at: datetime


class Neighbours(NamedTuple):
    """The messages with the nearest lower and the nearest higher number; None where there is none."""

    before: NumberedMessage | None
    after: NumberedMessage | None


async def neighbours(
    session: AsyncSession, voice_session: VoiceSession, numbers: Collection[int]
) -> dict[int, Neighbours]:
    """Return the messages on record next to each of ``numbers`` of a session, by number."""
    values = {
        "numbers": [*numbers],
        "session": voice_session.id,
        "conversation": voice_session.conversation_id,
    }
    rows = await session.execute(_NEIGHBOURS, values)
    return {
        number: Neighbours(
            None if before is None else NumberedMessage(before, before_at),
            None if after is None else NumberedMessage(after, after_at),
        )
        for number, before, before_at, after, after_at in rows
    }
