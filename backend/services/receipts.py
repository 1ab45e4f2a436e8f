"""Receipts of voice sessions, and the announcement that a conversation has ended, which holds the last one."""

from typing import Final

from backend.dao_service.connection.database import Database, Session
from backend.dao_service.conversation_dao import SessionsEnded
from backend.dao_service.models import VoiceSession
from backend.dao_service.voice_session_dao import VoiceSessionDAO
from backend.schemas.voice_session import Receipt
from backend.services.announcing import announce
from backend.vocabulary import ABANDONED, Announcement

_MAX_RANGES: Final = 1_000  # of missing numbers in a receipt; the phone sends those and asks for the next receipt


def is_final(session: VoiceSession) -> bool:
    """Return whether its phone has ended the session; the service's own presumption is not final."""
    return session.ended_at is not None and session.end_reason != ABANDONED


async def receipt_of(sessions: VoiceSessionDAO, found: VoiceSession, last_sequence: int) -> Receipt:
    """Return which events of a session have arrived, of a conversation with ``last_sequence`` messages."""
    arrived = await sessions.receipt_counts(found, _MAX_RANGES)
    return Receipt(
        complete=is_final(found) and not arrived.missing and not found.client_lost,
        received=arrived.received,
        expected=arrived.expected,
        missing=arrived.missing,
        duplicates=found.duplicates,
        last_sequence=last_sequence,
        more_missing=arrived.ranges - len(arrived.missing),
        client_lost=found.client_lost,
    )


async def announce_end(
    database: Database, session: Session, last: VoiceSession, over: SessionsEnded, receipt: Receipt
) -> None:
    """Announce the end of a conversation whose session ``last`` has ended, unless another session is open."""
    if over.ended_at is None:
        return
    details = {
        "voice_session_id": last.id,
        "end_reason": None if is_final(last) else ABANDONED,  # a phone's own reason is text, and outlives an erasure
        **over._asdict(),
        "receipt": receipt.model_dump(),
    }
    kind = Announcement.CONVERSATION_ENDED
    await announce(database, session, kind, last.conversation_id, at=over.ended_at, data=details)
