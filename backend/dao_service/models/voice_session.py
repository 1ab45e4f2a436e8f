"""The tables of voice sessions and their events. A session is one call of a phone, over one or more connections."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import UUID as SQL_UUID
from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from backend.dao_service.models.base import NUMBER, Base
from backend.vocabulary import INCIDENTS

_IS_INCIDENT = text(f"type IN {INCIDENTS}")


class VoiceSession(Base):
    """One row of ``voice_sessions``.

    ``last_client_sequence`` is the highest number that the phone says it used, ``seen_at`` the time of its last
    request, ``duplicates`` how many events arrived more than once, and ``client_lost`` how many the phone says it gave
    up. The ids of the session's events derive from ``salt``; it is NULL if a process of a release without salts began
    the session.
    """

    __tablename__ = "voice_sessions"
    __table_args__ = (
        Index("idx_voice_sessions_conversation", "conversation_id"),
        Index("idx_voice_sessions_open", "seen_at", postgresql_where=text("ended_at IS NULL")),
        Index("idx_voice_sessions_unsalted", "started_at", postgresql_where=text("salt IS NULL")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None] = mapped_column(Text)
    duration_seconds: Mapped[int | None] = mapped_column(Integer)
    last_client_sequence: Mapped[int | None] = mapped_column(Integer)
    provider: Mapped[str] = mapped_column(Text)
    provider_session_ids: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    duplicates: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))
    salt: Mapped[UUID | None] = mapped_column(SQL_UUID)
    client_lost: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class VoiceSessionId(Base):
    """One row of ``voice_session_ids``: the conversation of a session. No two have a session of the same id."""

    __tablename__ = "voice_session_ids"
    __table_args__ = (Index("idx_voice_session_ids_conversation", "conversation_id"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))


class VoiceEvent(Base):
    """One row of ``voice_events``: an event that is not a message.

    It is stored so that the receipt finds no gap, and so that latencies can be assigned to their turn. ``detail`` holds
    the fields that are kept, ``after_sequence`` is the conversation's last sequence when the event arrived, and
    ``number`` is the order of arrival, in nanoseconds since 1970. ``time_estimated`` tells that the phone sent no
    usable time, so that ``received_at`` is the time of arrival.
    """

    __tablename__ = "voice_events"
    __table_args__ = (
        Index("idx_voice_events_count", "voice_session_id", "client_sequence"),
        Index("idx_voice_events_incident_time", "received_at", postgresql_where=_IS_INCIDENT),
        Index(
            "idx_voice_events_turns",
            "voice_session_id",
            "client_sequence",
            "after_sequence",
            "number",
            postgresql_where=text(
                "type IN ('Welcome', 'UserStartedSpeaking', 'AgentStartedSpeaking', 'AgentAudioDone', 'LatencyReport')"
            ),
        ),
        Index(
            "idx_voice_events_incidents",
            "voice_session_id",
            "client_sequence",
            "after_sequence",
            "number",
            postgresql_where=_IS_INCIDENT,
        ),
    )

    voice_session_id: Mapped[str] = mapped_column(ForeignKey("voice_sessions.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[UUID] = mapped_column(SQL_UUID, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, server_default=text(NUMBER))
    type: Mapped[str] = mapped_column(Text)
    detail: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    client_sequence: Mapped[int | None] = mapped_column(Integer)
    after_sequence: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=text("clock_timestamp()"))
    time_estimated: Mapped[bool] = mapped_column(server_default=text("false"))
    conversation_id: Mapped[UUID] = mapped_column(SQL_UUID)
