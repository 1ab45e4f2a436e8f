"""Redaction: words are taken out of one message, which stays in its place.

To remove the message would move every later one. So its id, sequence, role and times stay; in its content each range
becomes `[redacted]`, and of its metadata only what can hold no speech is left. The words leave the search tables and
the caches of this process in the same transaction or right after it. No incident of the conversation keeps its text,
because it may quote the words in part; nor does one that comes later (`voice_events`). A phone that sends the original
again is answered with the redacted message (`append_transaction`).

A client may repeat a redaction whose answer was lost: its ranges would then mean other words. So the audit keeps the
ranges, and a request that equals a redaction of the message changes nothing, also if another one came between. The
audit outlives the message, so the message must be marked, too: another program may have inserted one with that id anew.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from backend.dao_service.audit_dao import AuditDAO
from backend.dao_service.connection.database import Database
from backend.dao_service.conversation_dao import ConversationDAO
from backend.dao_service.hold_dao import HoldDAO
from backend.dao_service.redaction_dao import RedactionDAO
from backend.errors import Fault, Invalid, MessageNotFound, OnHold
from backend.observability import metrics
from backend.principal import Principal
from backend.schemas.redaction import RedactionCreate
from backend.services import audit, conversations
from backend.services.announcing import announce
from backend.vocabulary import ASIDES, LATENCIES, REDACTED, Announcement, AuditAction, Scope, Source
from verbatim_record.message_limits import CONTENT_BYTES
from verbatim_record.vocabulary import REPAIRED, Repaired

MARK: Final = "[redacted]"
_SHORT_MARK: Final = "*"  # no longer than what it stands for, where the content is as long as it may be
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_TIME: Final = len("2026-01-31T09:30:00.120355+00:00")  # Python reads further digits of the second, too
_STATES: Final = ("requested", "completed", "cancelled", "failed")

Range = tuple[int, int]


class Redacted(NamedTuple):
    """A redacted message as JSON, and whether an earlier request had redacted it in the same way."""

    document: bytes
    replayed: bool


async def redact(
    database: Database, principal: Principal, conversation_id: UUID, message_id: UUID, wanted: RedactionCreate
) -> Redacted:
    """Take words out of a message, and return it.

    Raises ScopeMissing, ConversationNotFound, ConversationErased, MessageNotFound, OnHold, and Invalid for a range that
    is not in the content.
    """
    owner = principal.owner(Scope.CONVERSATIONS_REDACT)
    async with database.writing() as session:
        # FOR UPDATE, so that no event of a phone is being recorded: it would be stored with its words after this.
        if await ConversationDAO(session).lock_to_erase(conversation_id, owner) is None:
            raise await conversations.missing(session, conversation_id, owner)
        if await HoldDAO(session).active(conversation_id):
            raise OnHold(conversation_id)
        message = RedactionDAO(session, conversation_id, message_id)
        found = await message.lock()
        if found is None:
            raise MessageNotFound(message_id)
        request = {"reason": wanted.reason, "ranges": wanted.ranges}
        action = AuditAction.MESSAGE_REDACTED
        before = await AuditDAO(session).details(action, conversation_id, message_id)
        if request in before and REDACTED in found.metadata:
            return Redacted(await message.document(), replayed=True)
        ranges = _merged(found.content, wanted.ranges)
        at = found.now.astimezone(UTC).isoformat().replace("+00:00", "Z")
        metadata = reduced(found.metadata) | {REDACTED: {"at": at, "reason": wanted.reason}}
        await message.rewrite(found, _without(found.content, ranges), metadata)
        await audit.note(session, principal, action, conversation_id, message_id=message_id, details=request)
        document = await message.document()
        told = {"message_id": message_id, "sequence": found.sequence, "redacted_at": found.now}
        await announce(database, session, Announcement.MESSAGE_REDACTED, conversation_id, at=found.now, data=told)
    database.wakeups.wake([conversation_id])
    metrics.REDACTIONS.inc()
    return Redacted(document, replayed=False)


def _merged(content: str, wanted: Sequence[Sequence[int]] | None) -> list[Range]:
    """Return the ranges in order, those that touch as one; without any, all of ``content``. Raises Invalid."""
    if wanted is None:
        return [(0, len(content))]
    detail = f"must begin before it ends, within the {len(content)} characters of the content"
    faults = [
        Fault(f"/ranges/{place}", detail)
        for place, (start, end) in enumerate(wanted)
        if not 0 <= start < end <= len(content)
    ]
    if faults:
        raise Invalid(faults)
    merged: list[Range] = []
    for start, end in sorted((start, end) for start, end in wanted):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _without(content: str, ranges: Sequence[Range]) -> str:
    """Return the content with a mark for each range; a short one if it would exceed CONTENT_BYTES."""
    kept, reached = [], 0
    for start, end in ranges:
        kept.append(content[reached:start])
        reached = end
    kept.append(content[reached:])
    marked = MARK.join(kept)
    return marked if len(marked.encode()) <= CONTENT_BYTES else _SHORT_MARK.join(kept)


def reduced(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a client may read of the metadata of a redacted message: no text that could have been said."""
    return dict(_harmless(metadata))


def _harmless(metadata: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in metadata.items():
        match key, value:
            case ("provider", str()) if value in [*Source]:
                yield key, value
            case ("behavior", str()) if value in ASIDES:
                yield key, value
            case ("state", str()) if value in _STATES:
                yield key, value
            case ("call_id", str()) if _IDENTIFIER.fullmatch(value):
                yield key, value
            case ("interrupted", bool()):
                yield key, value
            case ("started_at" | "ended_at", str()) if _is_time(value):
                yield key, value
            case ("latency", dict()):
                yield key, {name: each for name, each in value.items() if name in LATENCIES and _is_number(each)}
            case (key, list()) if key == REPAIRED:
                yield key, [pointer for pointer in value if pointer in [*Repaired]]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(text: str) -> bool:
    if len(text) > _LONGEST_TIME:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
