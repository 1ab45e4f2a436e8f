"""The words of what is asked for one subject as a whole, as they cross the wire."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend.schemas.fields import Label


class SubjectQuery(BaseModel):
    """Whose record is wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: Label | None = Field(
        default=None, description="The subject; a person's own if left out, and wanted from a service."
    )


class ErasureCreate(BaseModel):
    """Everything of a subject's is to be erased."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [{"user_id": "minh"}]}
    )

    user_id: Label | None = Field(
        default=None, description="The subject; a person's own if left out, and wanted from a service."
    )


class Kept(BaseModel):
    """A conversation that could not be erased."""

    conversation_id: UUID
    detail: str = Field(description="Why, as a sentence.")


class ErasureResponse(BaseModel):
    """What of a subject was erased, and what is left."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "minh", "erased": 12, "messages": 480, "left": 0, "kept": []}]}
    )

    user_id: str
    erased: int = Field(description="Conversations that this request has erased.")
    messages: int = Field(description="Messages that were in these.")
    left: int = Field(description="Conversations that are left: send the same again until these are those `kept`.")
    kept: list[Kept] = Field(description="Those that a table of the host's refers to, so that they stay; 100 at most.")
