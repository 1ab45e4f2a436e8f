"""Request and response models of the export and the erasure of all conversations of one subject."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend.schemas.fields import Label


class SubjectQuery(BaseModel):
    """The query parameters of an export."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user_id: Label | None = Field(
        default=None, description="The subject; by default a person's own. A service has to name one."
    )


class ErasureCreate(BaseModel):
    """A request to erase all conversations of a subject."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, json_schema_extra={"examples": [{"user_id": "minh"}]}
    )

    user_id: Label | None = Field(
        default=None, description="The subject; by default a person's own. A service has to name one."
    )


class Kept(BaseModel):
    """A conversation that could not be erased."""

    conversation_id: UUID
    detail: str = Field(description="Why, as a sentence.")


class ErasureResponse(BaseModel):
    """The outcome of one request to erase a subject's conversations."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "minh", "erased": 12, "messages": 480, "left": 0, "kept": []}]}
    )

    user_id: str
    erased: int = Field(description="The number of conversations that this request erased.")
    messages: int = Field(description="The number of messages in these.")
    left: int = Field(description="The number that is left: repeat the request until only those in `kept` are left.")
    kept: list[Kept] = Field(description="Conversations to which a table of the host refers, at most 100; they stay.")
