"""One append transaction: stores the messages of a commit, and returns the outcome of each.

It appends new messages after the last one of their conversation. It compares a message whose id is on record with the
stored row: the same content is an idempotent repetition (replayed), another is refused. `append_dao` explains why one
statement suffices for messages that are all new, and the others need several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from backend.dao_service.append_dao import AppendConnection, AppendDAO, LockedConversation, NewMessage, StoredMessage
from backend.dao_service.ownership import reaches, reaches_erased
from backend.errors import ConversationErased, ConversationNotFound, MessageIdReused, RecordError
from backend.schemas.fields import plausible
from backend.schemas.message import MessageCreate
from verbatim_record.ids import new_id
from verbatim_record.repair import marked
from verbatim_record.vocabulary import Repaired


@dataclass(frozen=True, slots=True)
class Recorded:
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


async def record_new(connection: AppendConnection, messages: Sequence[NewMessage]) -> list[Outcome | None] | None:
    """Store messages that are not on record yet by one statement, and return the outcome of each.

    The outcome None stands for a message whose conversation another transaction has locked. Returns None, with nothing
    stored, when a message is on record already, or an id is twice in ``messages``.
    """
    if len({message.id for message in messages}) < len(messages):
        return None  # one of them may be another owner's, which the rows by id would not tell
    stored = await connection.append(messages)
    if stored is None:
        return None
    missing = [message for message in messages if message.id not in stored]
    locked = await connection.find(missing) if missing else {}
    return [
        _recorded(message, stored[message.id], replayed=False) if message.id in stored else _left_out(message, locked)
        for message in messages
    ]


async def record(dao: AppendDAO, messages: Sequence[NewMessage]) -> list[Outcome | None]:
    """Store and compare messages in the transaction of ``dao``, and return the outcome of each if it commits.

    None stands for a message whose conversation another transaction has locked.
    """
    heads = await dao.lock(messages)
    unlocked = [message for message in messages if message.conversation_id not in heads]
    locked = await dao.find(unlocked) if unlocked else {}
    last = {conversation: head.last_sequence for conversation, head in heads.items()}
    known = await dao.known([message.id for message in messages])

    outcomes: dict[int, Outcome | None] = {}
    fresh: dict[int, NewMessage] = {}
    repeated: dict[int, NewMessage] = {}
    sequences: list[int] = []
    for place, message in enumerate(messages):
        conversation = message.conversation_id
        head = heads.get(conversation)
        if head is None or not reaches(message.owner, head.owner):
            outcomes[place] = _left_out(message, locked)
        elif message.id in known:
            repeated[place] = message
        else:
            known.add(message.id)  # if the same message is twice in one commit, the second is a repetition
            last[conversation] += 1
            sequences.append(last[conversation])
            fresh[place] = message
    outcomes |= await _append(dao, fresh, sequences)
    outcomes |= await _replay(dao, repeated)
    return [outcomes[place] for place in range(len(messages))]


def _left_out(message: NewMessage, locked: Mapping[UUID, LockedConversation]) -> ConversationNotFound | None:
    """Return the refusal of a message that was not stored; None if its conversation exists, but is ``locked``."""
    head = locked.get(message.conversation_id)
    return None if head and reaches(message.owner, head.owner) else ConversationNotFound(message.conversation_id)


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


async def _append(dao: AppendDAO, fresh: dict[int, NewMessage], sequences: list[int]) -> dict[int, Outcome]:
    if not fresh:
        return {}
    stored = await dao.insert(list(fresh.values()), sequences)
    return {place: _recorded(message, stored[message.id], replayed=False) for place, message in fresh.items()}


async def _replay(dao: AppendDAO, repeated: dict[int, NewMessage]) -> dict[int, Outcome]:
    if not repeated:
        return {}
    compared = await dao.compare(list(repeated.values()))
    return {
        place: MessageIdReused(message.id, found.differing)
        if found.differing
        else _recorded(message, found.stored, replayed=True)
        for (place, message), found in zip(repeated.items(), compared, strict=True)
    }


def _recorded(message: NewMessage, stored: StoredMessage, *, replayed: bool) -> Recorded:
    return Recorded(message, stored.sequence, stored.document, replayed)
