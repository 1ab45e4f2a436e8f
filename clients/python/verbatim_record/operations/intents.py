"""Operations on the intents of conversations."""

from collections.abc import Mapping
from http import HTTPMethod
from uuid import UUID

from verbatim_record.calls import Call, body, conditions, path, versioned
from verbatim_record.models import ConversationIntent, Intent


def put(
    conversation_id: UUID | str, intent: Intent, payload: Mapping[str, object], *, if_match: str | None = None
) -> Call[ConversationIntent]:
    """Set the intent of a conversation, queue its delivery in the same commit, and return it.

    The same intent and payload again queue nothing. To replace another intent, pass its `etag` as ``if_match`` (`*`
    replaces any). ``payload`` has at most 64 KiB of JSON. Raises IntentConflict if another intent is set,
    PreconditionFailed if it is no longer the one of ``if_match``, and VerbatimError.
    """
    return Call(
        HTTPMethod.PUT,
        path("conversations", conversation_id, "intent"),
        versioned(ConversationIntent),
        headers=conditions(if_match),
        body=body(intent=intent, payload=payload),
    )


def get(
    conversation_id: UUID | str, *, if_match: str | None = None, if_none_match: str | None = None
) -> Call[ConversationIntent]:
    """Return the current intent of a conversation.

    Raises IntentNotFound, PreconditionFailed unless ``if_match`` is the `etag` of the current version, NotModified if
    ``if_none_match`` is, and VerbatimError.
    """
    headers = conditions(if_match, if_none_match)
    where = path("conversations", conversation_id, "intent")
    return Call(HTTPMethod.GET, where, versioned(ConversationIntent), {}, headers)
