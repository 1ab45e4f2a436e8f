"""Response models of the audit."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend.schemas import page
from backend.schemas.fields import JsonObject
from backend.vocabulary import LARGEST_BIGINT, AuditAction


class AuditEntryResponse(BaseModel):
    """One entry of the audit: it holds nothing that was said, and no person's subject."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "019ab5c0-7777-7000-8000-000000000007",
                    "at": "2026-01-31T09:31:00.120355Z",
                    "action": "conversation.erased",
                    "actor": "service:caretaker",
                    "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                    "message_id": None,
                    "details": {"messages": 40},
                }
            ]
        },
    )

    id: UUID
    at: datetime
    action: str = Field(description=f"{', '.join(f'`{action}`' for action in AuditAction)}; later releases add others.")
    actor: str = Field(
        description="The service that did it; `owner`: the person whose conversation it was; `local`: a command, or a "
        "client on this machine without a token."
    )
    conversation_id: UUID | None
    message_id: UUID | None
    details: JsonObject = Field(description="Counts and names that the action has.")


class AuditPage(page.Page[AuditEntryResponse]):
    """A page of the audit."""


class AuditQuery(BaseModel):
    """The query parameters of the audit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: AuditAction | None = None
    conversation_id: UUID | None = None
    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = page.DEFAULT_LIMIT
    cursor: page.Cursor | None = None


class AuditPlace(NamedTuple):
    """A place in the audit, newest first."""

    number: int
    id: UUID

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return page.encode_cursor(["audit", self.number, str(self.id)])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case ["audit", int(number), str(id_text)] if 0 <= number <= LARGEST_BIGINT:
                with suppress(ValueError):
                    return cls(number, UUID(id_text))
        raise page.unusable_cursor()
