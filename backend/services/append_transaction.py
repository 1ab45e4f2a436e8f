"""One append transaction: stores the messages of a commit, and returns the outcome of each.

It appends new messages after the last one of their conversation. It compares a message whose id is on record with the
stored row: the same content is an idempotent repetition (replayed), another is refused.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple
from uuid import UUID

import orjson

from backend.dao_service.append_dao import AppendConnection, NewMessage, StoredMessage
from backend.dao_service.ownership import reaches_erased
from backend.errors import ConversationErased, ConversationNotFound, MessageIdReused, RecordError
from backend.schemas.fields import plausible
from backend.schemas.message import MessageCreate
from backend.vocabulary import REDACTED
from verbatim_record.ids import new_id
from verbatim_record.repair import marked
from verbatim_record.vocabulary import Repaired


class Recorded(NamedTuple):
    """A message that is on record; ``document`` is its JSON. ``replayed`` tells whether it was on record before."""

    message: NewMessage
    sequence: int
    document: bytes
    replayed: bool


Outcome = Recorded | RecordError


def new_message(message: MessageCreate, owner: str | None) -> NewMessage:
    """Return ``message`` in the form in which it is stored for ``owner`` (None: any), with a new id if it has none.

    A timestamp that is not plausible is dropped, so that the time of recording is stored, and the metadata names it.
    """
    timestamp, metadata = message.timestamp, message.metadata
    if timestamp is not None and not plausible(timestamp):
        timestamp, metadata = None, marked(metadata, Repaired.TIMESTAMP)
    return NewMessage(
        message.id or new_id(),
        message.conversation_id,
        message.role,
        message.content,
        message.input_modality,
        orjson.dumps(metadata).decode() if metadata else "{}",
        timestamp,
        message.voice_session_id,
        message.client_sequence,
        owner,
    )


async def record(
    connection: AppendConnection, messages: Sequence[NewMessage], *, lock: float | None = None
) -> list[Outcome | None]:
    """Store messages, compare those that are on record, commit, and return the outcome of each.

    None stands for a message whose conversation another transaction has locked. ``lock`` and what is raised are those
    of `AppendConnection.append`.
    """
    stored = await connection.append(messages, lock=lock)
    changed = [messages[place] for place, found in stored.items() if found and _is_marked(found)]
    redacted = await connection.redacted(changed) if changed else frozenset[UUID]()
    return [
        _outcome(message, stored[place], redacted) if place in stored else ConversationNotFound(message.conversation_id)
        for place, message in enumerate(messages)
    ]


def _outcome(message: NewMessage, stored: StoredMessage | None, redacted: AbstractSet[UUID]) -> Outcome | None:
    """Return the outcome of a message, of which a redacted one may differ.

    The sender is answered with the redacted message, because a refusal would have it send the original for ever.
    """
    if stored is None:
        return None
    if stored.differing and not (_is_marked(stored) and message.id in redacted):
        return MessageIdReused(message.id, stored.differing)
    return Recorded(message, stored.sequence, stored.document, replayed=stored.differing is not None)


def _is_marked(stored: StoredMessage) -> bool:
    """Tell whether the original of a message may differ because words were taken out, if the audit says so, too.

    The mark alone is no proof: `metadata` is the sender's, and may have such a key.
    """
    if not stored.differing or not {"content", "metadata"}.issuperset(stored.differing):
        return False
    return REDACTED in orjson.loads(stored.document)["metadata"]


async def mark_erased(
    connection: AppendConnection, messages: Sequence[NewMessage], outcomes: Sequence[Outcome | None]
) -> list[Outcome | None]:
    """Return ``outcomes`` with ConversationErased for each conversation that belonged to the sender and was erased."""
    missing = {outcome.conversation_id for outcome in outcomes if isinstance(outcome, ConversationNotFound)}
    erased = await connection.erased(missing) if missing else {}
    return [
        ConversationErased(message.conversation_id)
        if isinstance(outcome, ConversationNotFound) and _was_theirs(message, erased)
        else outcome
        for message, outcome in zip(messages, outcomes, strict=True)
    ]


def _was_theirs(message: NewMessage, erased: Mapping[UUID, bytes | None]) -> bool:
    conversation = message.conversation_id
    return conversation in erased and reaches_erased(message.owner, conversation, erased[conversation])
