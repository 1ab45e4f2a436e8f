"""Imports another program's messages: each gets the id of its row, so that a second import changes nothing.

A row whose role and content make a message is recorded, whatever else is in it: what the record cannot hold is repaired
as a recorder repairs it, and named in `metadata.repaired`. Metadata that is no object stands in one, under `value`. A
text beyond the size of a message continues in further messages. The other rows are named, with the reason.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid5

import orjson

from backend.dao_service.connection.database import Database
from backend.dao_service.foreign_messages import ForeignMessage, foreign_messages
from backend.errors import ConversationErased, ConversationIdReused, RecordError, Unavailable
from backend.principal import LOCAL, Principal
from backend.schemas.conversation import ConversationCreate
from backend.schemas.message import MessageCreate
from backend.schemas.parsing import parse
from backend.services import conversations
from backend.services.append_transaction import Recorded
from backend.services.appender import Appender
from backend.vocabulary import ContextType, Scope
from verbatim_record.recorder.message_repair import fault_of, repair_message
from verbatim_record.repair import marked
from verbatim_record.vocabulary import Repaired

_NAMESPACE: Final = UUID("7b1c1a52-0b1e-4f6d-9d53-5f2a0b7f6c11")  # of ids that are no UUIDs
_BATCH: Final = 500  # messages that are appended together
_BATCH_BYTES: Final = 2**22


@dataclass(slots=True)
class Imported:
    """How many messages are new and were on record already, and the rows that were refused, each with a sentence."""

    new: int = 0
    known: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    """Messages to append together, each with the id of its row."""

    rows: list[str] = field(default_factory=list)
    messages: list[MessageCreate] = field(default_factory=list)
    size: int = 0


async def import_table(database: Database, appender: Appender, url: str, table: str, subject: str | None) -> Imported:
    """Import the rows of ``table`` in the database at ``url``, for the owner ``subject``; return what became of them.

    A conversation that is on record already keeps its owner. Raises SetupError if the table cannot be read, Busy, and
    DatabaseUnavailable; then the import can be repeated.
    """
    done, opened, batch = Imported(), _Conversations(database, subject), _Batch()
    async with foreign_messages(url, table) as rows:
        async for row, found in _readable(rows, done):
            if why := await opened.refusal(found[0]["conversation_id"]):
                done.refused.append((row, why))
                continue
            for each in found:
                body = orjson.dumps(each)
                try:
                    batch.messages.append(parse(MessageCreate, body))
                except RecordError as error:
                    done.refused.append((row, str(error)))
                    continue
                batch.rows.append(row)
                batch.size += len(body)
            if len(batch.messages) >= _BATCH or batch.size >= _BATCH_BYTES:
                await _append(appender, batch, done)
                batch = _Batch()
    await _append(appender, batch, done)
    return done


async def _readable(
    rows: AsyncIterator[ForeignMessage], done: Imported
) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the messages of each row that can be one, with the row's id; note the others."""
    async for row in rows:
        role = row.role.lower() if row.role else row.role
        why = "it has no id or no conversation" if not (row.id and row.conversation_id) else fault_of(role, row.content)
        if why:
            done.refused.append((row.id or "without an id", why))
        else:
            yield str(row.id), _messages(row, role)


def _messages(row: ForeignMessage, role: str | None) -> list[dict[str, Any]]:
    said_at = row.said_at or datetime.now(UTC)
    message = {
        "id": _identity(row.id),
        "conversation_id": _identity(row.conversation_id),
        "role": role,
        "content": row.content,
        "input_modality": "voice",
        "metadata": _metadata(row.metadata),
        "timestamp": row.said_at,
        "voice_session_id": None,
        "client_sequence": None,
    }
    repaired = repair_message(message, said_at.timestamp())
    for each in repaired if row.said_at is None else ():
        each["timestamp"] = None  # the record takes its own, which is then the same at each repetition
        if row.is_timed:
            each["metadata"] = marked(each["metadata"], Repaired.TIMESTAMP)
    return repaired


def _metadata(written: str | None) -> object:
    try:
        value = json.loads(written or "null")
    except (ValueError, RecursionError):
        return {"value": written}
    return value if value is None or isinstance(value, dict) else {"value": value}


def _identity(given: str | None) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        return uuid5(_NAMESPACE, str(given))


async def _append(appender: Appender, batch: _Batch, done: Imported) -> None:
    outcomes = await appender.append(LOCAL, batch.messages) if batch.messages else []
    # Not named as refused: a repetition records it, and nothing that comes after it may be recorded before.
    if waiting := next((outcome for outcome in outcomes if isinstance(outcome, Unavailable)), None):
        raise waiting
    for row, outcome in zip(batch.rows, outcomes, strict=True):
        if not isinstance(outcome, Recorded):
            done.refused.append((row, str(outcome)))
        elif outcome.replayed:
            done.known += 1
        else:
            done.new += 1


class _Conversations:
    """Opens the conversations of an import, each at its first row."""

    def __init__(self, database: Database, subject: str | None) -> None:
        self._database = database
        self._owner = Principal(subject, frozenset({Scope.CONVERSATIONS_WRITE})) if subject else LOCAL
        self._current: tuple[UUID, str | None] | None = None

    async def refusal(self, conversation_id: UUID) -> str | None:
        """Open the conversation if it is not there, and return why nothing can be recorded in it, or None."""
        if self._current is None or self._current[0] != conversation_id:
            self._current = conversation_id, await self._open(conversation_id)
        return self._current[1]

    async def _open(self, conversation_id: UUID) -> str | None:
        wanted = ConversationCreate(id=conversation_id, context_type=ContextType.VOICE)
        try:
            await conversations.create(self._database, self._owner, wanted)
        except ConversationIdReused:
            return None  # the host's own, or an earlier import's: it is there
        except ConversationErased as error:
            return str(error)
        return None
