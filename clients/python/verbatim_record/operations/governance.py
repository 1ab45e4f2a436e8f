"""Operations for the operator who answers for the record: redactions, holds, the retention, the audit."""

from collections.abc import Sequence
from http import HTTPMethod
from uuid import UUID

from verbatim_record.calls import Call, body, model, nothing, path, query
from verbatim_record.models import AuditAction, AuditPage, HoldPage, HoldResponse, MessageResponse, RetentionPlan


def redact(
    conversation_id: UUID | str, message_id: UUID | str, reason: str, *, ranges: Sequence[Sequence[int]] | None = None
) -> Call[MessageResponse]:
    """Take words out of a message for good, and return the message, which keeps its id and its place.

    ``ranges`` are `[start, end]` in the content, in code points from 0, the end exclusive; None is all of it. Every
    reader sees ``reason``. The same call again changes nothing. Raises OnHold, MessageNotFound, ConversationNotFound,
    ConversationErased, and VerbatimError.
    """
    where = path("conversations", conversation_id, "messages", message_id, "redact")
    return Call(HTTPMethod.POST, where, model(MessageResponse), body=body(reason=reason, ranges=ranges))


def hold(conversation_id: UUID | str, reason: str) -> Call[HoldResponse]:
    """Hold a conversation, so that it is neither erased nor redacted, and return the hold.

    ``reason`` has at most 255 characters and quotes nothing that was said. The same reason again changes nothing.
    Raises ConversationNotFound, ConversationErased, and VerbatimError.
    """
    where = path("conversations", conversation_id, "hold")
    return Call(HTTPMethod.PUT, where, model(HoldResponse), body=body(reason=reason))


def release(conversation_id: UUID | str) -> Call[None]:
    """Release a conversation; returns None.

    Raises HoldNotFound, ConversationNotFound, ConversationErased, and VerbatimError.
    """
    return Call(HTTPMethod.DELETE, path("conversations", conversation_id, "hold"), nothing)


def holds(
    *,
    conversation_id: UUID | str | None = None,
    active: bool | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[HoldPage]:
    """Return the holds, newest first, page by page; ``active`` selects those that hold, or that have ended.

    A page has at most ``limit`` holds, 1 to 500, 50 by default. ``cursor`` is the `next_cursor` of an earlier page.
    Raises VerbatimError while iterating.
    """
    parameters = query(conversation_id=conversation_id, active=active, limit=limit, cursor=cursor)
    return Call(HTTPMethod.GET, "/holds", model(HoldPage), parameters)


def audit(
    *,
    action: AuditAction | None = None,
    conversation_id: UUID | str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Call[AuditPage]:
    """Return what was done to the record, newest first, page by page.

    A page has at most ``limit`` entries, 1 to 500, 50 by default. ``cursor`` is the `next_cursor` of an earlier page.
    Raises VerbatimError while iterating.
    """
    parameters = query(action=action, conversation_id=conversation_id, limit=limit, cursor=cursor)
    return Call(HTTPMethod.GET, "/audit", model(AuditPage), parameters)


def retention() -> Call[RetentionPlan]:
    """Return what the retention erases next, which the service counts for about ten seconds; raises VerbatimError."""
    return Call(HTTPMethod.GET, "/retention", model(RetentionPlan), silence=60.0)
