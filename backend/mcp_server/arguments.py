"""What the arguments of the tools have in common."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

ConversationId = Annotated[UUID, Field(description="The id of the conversation.")]
Cursor = Annotated[str, Field(max_length=200, description="The cursor of the previous answer, to read on behind it.")]
Limit = Annotated[int, Field(ge=1, le=200, description="How many at most; an answer that would be too long has fewer.")]


class Arguments(BaseModel):
    """The arguments of a tool, none of which may be unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)
