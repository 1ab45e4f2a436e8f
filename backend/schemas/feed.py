"""Where a reader stands in the feed of all messages, and what it asks for."""

from enum import StrEnum
from typing import Annotated, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend.schemas import page
from backend.vocabulary import LARGEST_BIGINT


class FeedPlace(NamedTuple):
    """A place in the feed: just after a message, or, with a position of None, after one from before there was one."""

    position: int | None
    conversation_id: UUID = UUID(int=0)
    sequence: int = 0

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        if self.position is None:
            return page.encode_cursor(["feed", str(self.conversation_id), self.sequence])
        return page.encode_cursor(["feed", self.position])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case ["feed", int(position)] if 0 <= position <= LARGEST_BIGINT:
                return cls(position)
            case ["feed", str(identity), int(sequence)] if 0 <= sequence <= LARGEST_BIGINT:
                try:
                    return cls(None, UUID(identity), sequence)
                except ValueError:
                    pass
        raise page.unusable_cursor()


class FeedStart(StrEnum):
    """At the first message on record, or at what comes next."""

    BEGINNING = "beginning"
    END = "end"


class FeedQuery(BaseModel):
    """Where in the feed, how many, and how long to wait for them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: page.Cursor | None = Field(default=None, description="The `next_cursor` of the last answer.")
    start: FeedStart = Field(default=FeedStart.BEGINNING, description="Where to begin without a cursor.")
    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = page.DEFAULT_LIMIT
    wait: Annotated[float, Field(ge=0, le=30)] = Field(
        default=0, description="Seconds to wait for a message, if there is none yet."
    )
