"""Operations on conversations."""

from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPMethod
from typing import Literal, TypeVar
from uuid import UUID

import httpx

from verbatim_record.calls import (
    UNSET,
    Call,
    Following,
    Unset,
    body,
    conditions,
    json_object,
    model,
    nothing,
    patch,
    path,
    query,
    text,
    versioned,
)
from verbatim_record.ids import new_id
from verbatim_record.models import (
    ContextType,
    ConversationPage,
    ConversationResponse,
    Included,
    Intent,
    JsonObject,
    MessageResponse,
    Timeline,
    Transcript,
    TranscriptFormat,
)

T = TypeVar("T")


def create(
    context_type: ContextType, *, id: UUID | str | None = None, user_id: str | None = None
) -> Call[ConversationResponse]:
    """Open a conversation and return it.

    ``id`` is made here if it is None. ``user_id`` is the owner, by default the caller; a service with
    `conversations:write:any` may name another subject. Raises VerbatimError.
    """
    document = body(id=id or new_id(), context_type=context_type, user_id=user_id)
    return Call(HTTPMethod.POST, "/conversations", model(ConversationResponse), body=document)


def list(
    *,
    context_type: ContextType | None = None,
    intent: Intent | None = None,
    ended: bool | None = None,
    linked_goal_id: UUID | str | None = None,
    linked_task_id: UUID | str | None = None,
    voice_session_id: str | None = None,
    user_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    include: Included | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[ConversationPage]:
    """Return the conversations that all given filters select, newest first, page by page.

    ``since`` is inclusive, ``until`` exclusive; both are about `created_at`. With ``include="summary"`` each has its
    `summary`, unless that takes the service longer than a second. A page has at most ``limit`` conversations, 1 to 500,
    50 by default. ``cursor`` is the `next_cursor` of an earlier page. Raises VerbatimError while iterating.
    """
    parameters = query(
        context_type=context_type,
        intent=intent,
        ended=ended,
        linked_goal_id=linked_goal_id,
        linked_task_id=linked_task_id,
        voice_session_id=voice_session_id,
        user_id=user_id,
        since=since,
        until=until,
        include=include,
        limit=limit,
        cursor=cursor,
    )
    return Call(HTTPMethod.GET, "/conversations", model(ConversationPage), parameters)


def get(
    conversation_id: UUID | str,
    *,
    include: Included | None = None,
    if_match: str | None = None,
    if_none_match: str | None = None,
) -> Call[ConversationResponse]:
    """Return one conversation, without its messages; with ``include="summary"`` it has its `summary`.

    Its `etag` is then that of the answer with the summary, which `link`, `end` and `erase` do not take. Raises
    PreconditionFailed unless ``if_match`` is the `etag` of the current version, NotModified if ``if_none_match``
    is, and VerbatimError.
    """
    where, headers = path("conversations", conversation_id), conditions(if_match, if_none_match)
    return Call(HTTPMethod.GET, where, versioned(ConversationResponse), query(include=include), headers)


def link(
    conversation_id: UUID | str,
    *,
    linked_goal_id: UUID | str | Unset | None = UNSET,
    linked_task_id: UUID | str | Unset | None = UNSET,
    if_match: str | None = None,
) -> Call[ConversationResponse]:
    """Link a conversation to a goal or a task of the host application, and return it.

    None removes a link. A link that is not given stays as it is. Raises LinkNotFound if there is no such goal or task,
    PreconditionFailed unless ``if_match`` is the `etag` of the current version, and VerbatimError. With ``if_match``
    the client repeats nothing after a lost answer: the repetition of a change that was made would fail.
    """
    return Call(
        HTTPMethod.PATCH,
        path("conversations", conversation_id),
        versioned(ConversationResponse),
        headers=conditions(if_match),
        body=patch(linked_goal_id=linked_goal_id, linked_task_id=linked_task_id),
        repeatable=if_match is None,
    )


def end(
    conversation_id: UUID | str, *, ended_at: datetime | None = None, if_match: str | None = None
) -> Call[ConversationResponse]:
    """End a conversation that has no voice session, by default now, and return it.

    Raises ConversationEnded if it has ended at another time, ConversationHasSessions, PreconditionFailed unless
    ``if_match`` is the `etag` of the current version, and VerbatimError.
    """
    return Call(
        HTTPMethod.POST,
        path("conversations", conversation_id, "end"),
        versioned(ConversationResponse),
        headers=conditions(if_match),
        body=body(ended_at=ended_at),
    )


def erase(conversation_id: UUID | str, *, if_match: str | None = None) -> Call[None]:
    """Erase a conversation and everything said in it, for good; returns None.

    Raises ConversationNotFound, which after a lost answer may mean that the attempt before has erased it;
    HostKeepsConversation if a table of the host application refers to it; PreconditionFailed unless ``if_match`` is the
    `etag` of the current version; and VerbatimError.
    """
    where = path("conversations", conversation_id)
    return Call(HTTPMethod.DELETE, where, nothing, headers=conditions(if_match))


def transcript(
    conversation_id: UUID | str, *, if_match: str | None = None, if_none_match: str | None = None
) -> Call[Transcript]:
    """Return all messages of a conversation in spoken order; raises as `get` does."""
    headers = conditions(if_match, if_none_match)
    return Call(
        HTTPMethod.GET, path("conversations", conversation_id, "transcript"), versioned(Transcript), {}, headers
    )


def transcript_text(
    conversation_id: UUID | str, format: Literal["text", "markdown", "vtt", "srt", "jsonl"] = "text"
) -> Call[str]:
    """Return a transcript as text for people, as Markdown, as captions (WebVTT or SubRip), or as JSON Lines.

    Raises VerbatimError.
    """
    return _transcript(conversation_id, text, format=format)


def openai_chat(conversation_id: UUID | str, *, strict: bool = False) -> Call[JsonObject]:
    """Return the conversation as `{"messages": […]}`, for a model that continues it.

    With ``strict`` they are in the one order that every model accepts: `user` and `assistant` take turns. Raises
    VerbatimError.
    """
    return _transcript(conversation_id, json_object, format="openai", strict=strict or None)


def deepgram_settings(conversation_id: UUID | str) -> Call[JsonObject]:
    """Return a merge patch (RFC 7396) for the `Settings` of Deepgram's Voice Agent, which continues the conversation.

    Raises VerbatimError.
    """
    return _transcript(conversation_id, json_object, format="deepgram")


def timeline(
    conversation_id: UUID | str,
    *,
    limit: int | None = None,
    cursor: str | None = None,
    if_match: str | None = None,
    if_none_match: str | None = None,
) -> Call[Timeline]:
    """Return a part of a conversation's timeline: who spoke when, silences, calls, connections and incidents.

    A part shows at most ``limit`` messages and voice sessions, 1 to 500, 200 by default; each has a few segments. While
    `has_more`, ask for the next part with its `next_cursor` as ``cursor``. Raises as `get` does.
    """
    where = path("conversations", conversation_id, "timeline")
    headers = conditions(if_match, if_none_match)
    return Call(HTTPMethod.GET, where, versioned(Timeline), query(limit=limit, cursor=cursor), headers)


def follow(
    conversation_id: UUID | str,
    *,
    after_sequence: int = 0,
    on_redacted: Callable[[MessageResponse], object] | None = None,
) -> Following[int]:
    """Follow a conversation: yield each message after ``after_sequence`` with its own sequence, until the end.

    The iteration ends when the conversation has ended or was erased. The client opens a stream that breaks again, and
    no message is missed or doubled. It calls ``on_redacted`` with each message up to the last one from which words were
    taken out, also before the call; a stream that opens again repeats them. Raises ConversationNotFound, and
    VerbatimError if the service refuses or if the first attempts to reach it fail.
    """
    where = path("conversations", conversation_id, "live")
    return Following(where, str(after_sequence), int, on_redacted=on_redacted)


def _transcript(
    conversation_id: UUID | str,
    read: Callable[[httpx.Response], T],
    headers: Mapping[str, str] | None = None,
    format: TranscriptFormat = "json",
    *,
    strict: bool | None = None,
) -> Call[T]:
    where = path("conversations", conversation_id, "transcript")
    return Call(HTTPMethod.GET, where, read, query(format=format, strict=strict), headers or {})
