"""Operations on holds of conversations, and on the audit."""

from http import HTTPMethod
from uuid import UUID

from verbatim_record.calls import Call, body, model, nothing, path, query
from verbatim_record.models import AuditAction, AuditPage, HoldPage, HoldResponse, RetentionPlan


def hold(conversation_id: UUID | str, reason: str) -> Call[HoldResponse]:
    """Hold a conversation, so that it is neither erased nor redacted, and return the hold.

    ``reason`` has at most 255 characters and quotes nothing that was said. The same reason again changes nothing.
    Raises ConversationNotFound, ConversationErased, and VerbatimError.
    """
    where = path("conversations", conversation_id, "hold")
    return Call(HTTPMethod.PUT, where, model(HoldResponse), body=body(reason=reason))


def release(conversation_id: UUID | str) -> Call[None]:
    """Release a conversation; raises HoldNotFound, ConversationNotFound, ConversationErased, and VerbatimError."""
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
