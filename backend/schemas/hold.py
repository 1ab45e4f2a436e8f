"""Request and response models of holds."""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Final, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.schemas import page
from backend.schemas.fields import Label
from backend.vocabulary import LARGEST_BIGINT

_EXAMPLE: Final[dict[str, JsonValue]] = {"reason": "Case 2026-17"}


class HoldPut(BaseModel):
    """A request to hold a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [_EXAMPLE]})

    reason: Label = Field(description="Why it must be kept, such as the number of a case; quote nothing that was said.")


class HoldResponse(BaseModel):
    """A hold of a conversation, which lasts while `released_at` is null."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "019ab5c0-8888-7000-8000-000000000008",
                    "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                    "held_at": "2026-01-31T09:31:00.120355Z",
                    "held_by": "service:legal",
                    "released_at": None,
                    "released_by": None,
                    **_EXAMPLE,
                }
            ]
        },
    )

    id: UUID
    conversation_id: UUID
    reason: str
    held_at: datetime
    held_by: str = Field(description="The service that set it; `local` from this machine.")
    released_at: datetime | None
    released_by: str | None


class HoldPage(page.Page[HoldResponse]):
    """A page of holds."""


class HoldQuery(BaseModel):
    """The query parameters of the list of holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    conversation_id: UUID | None = None
    active: bool | None = Field(default=None, description="Only those that hold (`true`), or that have ended.")
    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = page.DEFAULT_LIMIT
    cursor: page.Cursor | None = None


class HoldPlace(NamedTuple):
    """A place in the list of holds, newest first."""

    number: int
    id: UUID

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return page.encode_cursor(["hold", self.number, str(self.id)])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case ["hold", int(number), str(id_text)] if 0 <= number <= LARGEST_BIGINT:
                with suppress(ValueError):
                    return cls(number, UUID(id_text))
        raise page.unusable_cursor()
