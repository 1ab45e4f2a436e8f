"""Operations on voice sessions."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from http import HTTPMethod
from uuid import UUID

from verbatim_record.calls import Call, body, item, model, path
from verbatim_record.ids import new_id
from verbatim_record.models import (
    ProviderToken,
    Receipt,
    VoiceEventCreate,
    VoiceEventResults,
    VoiceSessionResponse,
    VoiceSessionState,
)


def begin(
    *, id: str | None = None, conversation_id: UUID | str | None = None, user_id: str | None = None
) -> Call[VoiceSessionResponse]:
    """Begin a call and return the session, with a token for Deepgram if the service has a key.

    ``id`` is made here if it is None. Without ``conversation_id`` the session opens a conversation. ``user_id`` is its
    owner, by default the caller; a service with `conversations:write:any` may name another subject. Raises
    ProviderRefused or ProviderUnavailable, whose `session` has begun nevertheless, and VerbatimError.
    """
    document = body(id=id or f"vs_{new_id().hex}", conversation_id=conversation_id, user_id=user_id)
    return Call(HTTPMethod.POST, "/voice/sessions", model(VoiceSessionResponse), body=document)


def get(session_id: str) -> Call[VoiceSessionState]:
    """Return the state of a session: its connections, its events by type, its incidents; raises VerbatimError."""
    return Call(HTTPMethod.GET, path("voice", "sessions", session_id), model(VoiceSessionState))


def token(session_id: str) -> Call[ProviderToken]:
    """Return a new token for Deepgram, one for each connection.

    Raises ProviderNotConfigured, ProviderRefused, ProviderUnavailable, and VerbatimError.
    """
    return Call(HTTPMethod.POST, path("voice", "sessions", session_id, "token"), model(ProviderToken))


def record_events(session_id: str, events: Iterable[VoiceEventCreate]) -> Call[VoiceEventResults]:
    """Record 1 to 500 of Deepgram's events in order, unchanged, and return a result for each, in the same order.

    An event that the service refuses stops no other: its result has a problem, which is not raised. An event without a
    number and an ``id`` gets an id here. Raises VerbatimError if the whole request fails.
    """
    items = [item(event if _is_known(event) else replace(event, id=new_id())) for event in events]
    where = path("voice", "sessions", session_id, "events")
    return Call(HTTPMethod.POST, where, model(VoiceEventResults), body=body(events=items))


def _is_known(event: VoiceEventCreate) -> bool:
    return event.id is not None or event.client_sequence is not None


def end(
    session_id: str,
    *,
    reason: str | None = None,
    last_client_sequence: int | None = None,
    client_lost: int = 0,
    ended_at: datetime | None = None,
) -> Call[Receipt]:
    """End a call and return the receipt: which of the phone's numbers are missing.

    ``last_client_sequence`` is the last number that the phone used; without it missing last ones go unnoticed.
    ``client_lost`` is how many events the phone gave up; it may rise in a later call. Raises VoiceSessionEnded if the
    session has ended with other facts, and VerbatimError.
    """
    document = body(
        reason=reason,
        last_client_sequence=last_client_sequence,
        client_lost=client_lost or None,  # a service of release 0.2.0 refuses the field
        ended_at=ended_at,
    )
    return Call(HTTPMethod.POST, path("voice", "sessions", session_id, "end"), model(Receipt), body=document)


def receipt(session_id: str) -> Call[Receipt]:
    """Return which of a phone's numbers are on record, and which are missing; raises VerbatimError."""
    return Call(HTTPMethod.GET, path("voice", "sessions", session_id, "receipt"), model(Receipt))
