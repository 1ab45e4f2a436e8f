"""The request model of a redaction."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from backend.schemas.fields import Label

MOST_RANGES = 100


class RedactionCreate(BaseModel):
    """A request to take words out of a message."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={"examples": [{"reason": "Card number", "ranges": [[12, 28]]}]},
    )

    reason: Label = Field(description="Why; every reader of the message sees it, so quote nothing that was said.")
    ranges: Annotated[
        list[Annotated[list[int], Field(min_length=2, max_length=2)]] | None,
        Field(
            min_length=1,
            max_length=MOST_RANGES,
            description="`[start, end]` in `content`, in Unicode code points from 0, `end` exclusive, as a search "
            "returns them. null: all of it.",
        ),
    ] = None
