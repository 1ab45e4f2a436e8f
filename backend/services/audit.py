"""The audit: what was done to the record itself, by which caller, in the transaction that did it.

An entry holds nothing that was said, and no person's subject in clear, because it stays when that person's
conversations are erased: a person who acts on their own conversations is `owner`, and the subject of an export is a
salted digest, which verifies a known subject and reveals no unknown one.
"""

import hashlib
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from uuid import UUID

from backend.dao_service.audit_dao import AuditDAO
from backend.dao_service.connection.database import Database, Session
from backend.principal import LOCAL, Principal
from backend.schemas.audit import AuditEntryResponse, AuditPage, AuditPlace, AuditQuery
from backend.vocabulary import AuditAction, Scope

_SALT_BYTES: Final = 16


async def note(  # noqa: PLR0913 -- the parts of one entry
    session: Session,
    principal: Principal,
    action: AuditAction,
    conversation_id: UUID | None = None,
    *,
    message_id: UUID | None = None,
    details: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Add an entry in the transaction ``session``, which does what the entry tells of."""
    await AuditDAO(session).add(action, principal.actor, conversation_id, message_id, details)


def subject_digest(subject: str) -> Mapping[str, str]:
    """Return the details of an entry about the person ``subject``: a random salt, and SHA-256 of ``salt:subject``."""
    salt = secrets.token_hex(_SALT_BYTES)
    return {"salt": salt, "subject_sha256": hashlib.sha256(f"{salt}:{subject}".encode()).hexdigest()}


async def note_adoption(database: Database) -> None:
    """Add the entry that the host's database was adopted."""
    async with database.writing() as session:
        await note(session, LOCAL, AuditAction.DATABASE_ADOPTED)


async def newest(database: Database, principal: Principal, query: AuditQuery) -> AuditPage:
    """Return a page of entries, newest first; raises ScopeMissing, and Invalid for a cursor not issued here."""
    principal.owner(Scope.GOVERNANCE_MANAGE)
    place = AuditPlace.parse(query.cursor) if query.cursor else None
    async with database.reading() as session:
        rows = await AuditDAO(session).newest(query.action, query.conversation_id, before=place, limit=query.limit + 1)
        shown = [AuditEntryResponse.model_validate(row) for row in rows[: query.limit]]
    if shown:
        last = rows[len(shown) - 1]
        place = AuditPlace(last.number, last.id)
    return AuditPage(data=shown, next_cursor=place.cursor() if place else None, has_more=len(rows) > query.limit)
