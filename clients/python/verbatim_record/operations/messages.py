"""Operations on messages."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from http import HTTPMethod
from uuid import UUID

from verbatim_record.calls import Call, Following, body, item, model, path, query, versioned
from verbatim_record.ids import new_id
from verbatim_record.models import (
    Accents,
    BatchResults,
    ContextType,
    Direction,
    FeedStart,
    InputModality,
    MessageCreate,
    MessagePage,
    MessageResponse,
    Order,
    Role,
    SearchPage,
)


def record(
    conversation_id: UUID | str,
    role: Role,
    content: str,
    *,
    id: UUID | str | None = None,
    input_modality: InputModality = "voice",
    metadata: Mapping[str, object] | None = None,
    timestamp: datetime | None = None,
    voice_session_id: str | None = None,
    client_sequence: int | None = None,
) -> Call[MessageResponse]:
    """Record one message and return it as it is on record, committed to disk.

    ``id`` is made here if it is None. Give the same id to repeat a message after a TransportError, in another process
    for example: the service records it once. ``content`` has at most 1 MiB of UTF-8, ``metadata`` at most 16 KiB of
    JSON. ``timestamp`` needs a zone; it says when the message was said. Raises VerbatimError, and TypeError for a value
    that JSON cannot hold.
    """
    document = body(
        id=id or new_id(),
        conversation_id=conversation_id,
        role=role,
        content=content,
        input_modality=input_modality,
        metadata=metadata,
        timestamp=timestamp,
        voice_session_id=voice_session_id,
        client_sequence=client_sequence,
    )
    return Call(HTTPMethod.POST, "/voice/messages", model(MessageResponse), body=document)


def record_batch(messages: Iterable[MessageCreate]) -> Call[BatchResults]:
    """Record 1 to 500 messages in order, and return a result for each, in the same order.

    A message that the service refuses stops no other: its result has a problem, which is not raised. A message without
    an ``id`` gets one here. Raises VerbatimError if the whole request fails.
    """
    items = [item(message if message.id else replace(message, id=new_id())) for message in messages]
    return Call(HTTPMethod.POST, "/voice/messages/batch", model(BatchResults), body=body(messages=items))


def list(
    conversation_id: UUID | str,
    *,
    order: Order | None = None,
    direction: Direction | None = None,
    role: Role | None = None,
    after_sequence: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[MessagePage]:
    """Return the messages of a conversation, page by page, in spoken order unless ``order`` is `recorded`.

    ``since`` is inclusive, ``until`` exclusive; both are about `timestamp`. ``after_sequence`` is exclusive. A page has
    at most ``limit`` messages, 1 to 500, 50 by default. ``cursor`` is the `next_cursor` of an earlier page. Raises
    VerbatimError while iterating.
    """
    parameters = query(
        order=order,
        direction=direction,
        role=role,
        after_sequence=after_sequence,
        since=since,
        until=until,
        limit=limit,
        cursor=cursor,
    )
    where = path("conversations", conversation_id, "messages")
    return Call(HTTPMethod.GET, where, versioned(MessagePage), parameters)


def feed(cursor: str | None = None, *, start: FeedStart = "beginning") -> Following[str]:
    """Follow every message of every conversation: yield each with the cursor after it, now and as they are recorded.

    Store the cursor with what you make of the message, and pass it to go on behind it. Without one the feed begins with
    the first message on record, or with the next one to come (``start="end"``). The client opens a stream that breaks
    again, and no message is missed or doubled. Needs a service's token with `conversations:read:any`. Raises
    VerbatimError if the service refuses, or if the first attempts to reach it fail.
    """
    where = "/messages/feed"
    parameters = query(start="end", limit=1)
    at_end = Call(HTTPMethod.GET, where, model(MessagePage), parameters) if start == "end" else None
    return Following(where, cursor, str, None if cursor else at_end)


def search(
    q: str,
    *,
    role: Role | None = None,
    user_id: str | None = None,
    context_type: ContextType | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    accents: Accents | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[SearchPage]:
    """Return the messages that have all words of ``q``, newest first, page by page.

    ``q`` may hold `"a phrase"`, `-not` and `begin*`, at most 200 characters. Accents are ignored unless ``accents`` is
    `exact`. ``since`` is inclusive, ``until`` exclusive; both are about `timestamp`. ``user_id`` needs the token of a
    service with `conversations:read:any`. A page has at most ``limit`` messages, 1 to 50, 20 by default. ``cursor`` is
    the `next_cursor` of an earlier page. While iterating, raises SearchTooSlow if too many messages match,
    SearchDisabled if the operator has switched search off, and VerbatimError.
    """
    parameters = query(
        q=q,
        role=role,
        user_id=user_id,
        context_type=context_type,
        since=since,
        until=until,
        accents=accents,
        limit=limit,
        cursor=cursor,
    )
    return Call(HTTPMethod.GET, "/search", model(SearchPage), parameters)
