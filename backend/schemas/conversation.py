"""Request and response models of conversations."""

from datetime import datetime
from typing import Annotated, Final, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from backend.schemas import page
from backend.schemas.fields import Instant, Label, Omitted, Timestamp
from backend.schemas.intent import StoredIntent
from backend.schemas.summary import Included, Summary
from backend.vocabulary import ContextType, Intent

_EXAMPLE: Final[dict[str, JsonValue]] = {"id": "019ab5c0-1111-7000-8000-000000000001", "context_type": "voice"}


class ConversationCreate(BaseModel):
    """A conversation to create."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [_EXAMPLE]})

    id: UUID | None = Field(
        default=None, description="Chosen by the client, so that a retry does not create a second conversation."
    )
    context_type: ContextType
    user_id: Label | None = Field(
        default=None,
        description="The owner: the subject of that person's token, by default the client's own. Any other subject "
        "requires a service token with `conversations:write:any`.",
    )


class ConversationEnd(BaseModel):
    """The end of a conversation without voice sessions."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={"examples": [{"ended_at": "2026-01-31T09:42:10.250Z"}]},
    )

    ended_at: Timestamp | None = Field(default=None, description="By default now, by the database's clock.")


class ConversationPatch(BaseModel):
    """The links of a conversation that the orchestrator sets; ``null`` removes a link, an omitted field stays."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={"examples": [{"linked_task_id": "019ab5c0-2222-7000-8000-000000000002"}]},
    )

    linked_goal_id: UUID | None = None
    linked_task_id: UUID | None = None


class ConversationResponse(BaseModel):
    """One conversation as it stands in the record."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                _EXAMPLE
                | {
                    "user_id": None,
                    "voice_session_id": None,
                    "extracted_intent": None,
                    "intent_payload": None,
                    "linked_goal_id": None,
                    "linked_task_id": None,
                    "ended_at": None,
                    "duration_seconds": None,
                    "message_count": 0,
                    "created_at": "2026-01-31T09:29:58.120355Z",
                    "updated_at": "2026-01-31T09:29:58.120355Z",
                }
            ]
        },
    )

    id: UUID
    # The host's column may have any type.
    user_id: Annotated[str | None, BeforeValidator(lambda owner: owner if owner is None else str(owner))]
    context_type: ContextType
    voice_session_id: str | None
    extracted_intent: StoredIntent | None
    intent_payload: JsonValue
    linked_goal_id: UUID | None
    linked_task_id: UUID | None
    ended_at: datetime | None
    duration_seconds: int | None
    message_count: int = Field(validation_alias="last_sequence")
    created_at: datetime
    updated_at: datetime
    summary: Summary | Omitted = Field(
        default=None,
        exclude_if=lambda summary: summary is None,
        description="With `include=summary`. A list leaves out the summaries that take longer than a second.",
    )


class ConversationPage(page.Page[ConversationResponse]):
    """A page of conversations."""


class ConversationPlace(NamedTuple):
    """A place in the list of conversations, newest first."""

    created_at: datetime
    id: UUID

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return page.encode_cursor([page.to_microseconds(self.created_at), str(self.id)])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case [int(created_at), str(identity)]:
                try:
                    return cls(page.from_microseconds(created_at), UUID(identity))
                except ValueError:
                    pass
        raise page.unusable_cursor()


class ConversationQuery(BaseModel):
    """The query parameters of the list of conversations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context_type: ContextType | None = None
    intent: Intent | None = None
    ended: bool | None = None
    linked_goal_id: UUID | None = None
    linked_task_id: UUID | None = None
    voice_session_id: Label | None = None
    user_id: Label | None = Field(
        default=None, description="Only this owner's; requires a service token that may read every owner's."
    )
    since: Instant | None = Field(default=None, description="Created at this time or later.")
    until: Instant | None = Field(default=None, description="Created before this time.")
    include: Included | None = Field(default=None, description="What each conversation contains besides.")
    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = page.DEFAULT_LIMIT
    cursor: page.Cursor | None = None
