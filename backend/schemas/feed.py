"""The cursor and the query parameters of the feed of all messages."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend.feed_positions import Positions
from backend.schemas import page
from backend.vocabulary import LARGEST_BIGINT


class FeedPlace(NamedTuple):
    """A place in the feed, after a message; ``positions`` is None for a message that is older than the feed."""

    positions: Positions | None
    conversation_id: UUID = UUID(int=0)
    sequence: int = 0

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        if self.positions is None:
            return page.encode_cursor(["feed", str(self.conversation_id), self.sequence])
        return page.encode_cursor(["feed", *sorted(self.positions.by_server.values())])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case ["feed", str(identity), int(sequence)] if 0 <= sequence <= LARGEST_BIGINT:
                try:
                    return cls(None, UUID(identity), sequence)
                except ValueError:
                    pass
            case ["feed", *parts] if parts and len(positions := [*_positions(parts)]) == len(parts):
                return cls(Positions.at(*positions))
        raise page.unusable_cursor()


def _positions(parts: list[object]) -> Iterator[int]:
    return (part for part in parts if isinstance(part, int) and 0 <= part <= LARGEST_BIGINT)


class FeedStart(StrEnum):
    """Where the feed begins without a cursor: at the first message on record, or after the last."""

    BEGINNING = "beginning"
    END = "end"


class FeedQuery(BaseModel):
    """The query parameters of the feed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: page.Cursor | None = Field(default=None, description="The `next_cursor` of the previous page.")
    start: FeedStart = Field(default=FeedStart.BEGINNING, description="Where to begin without a cursor.")
    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = page.DEFAULT_LIMIT
    wait: Annotated[float, Field(ge=0, le=30)] = Field(
        default=0, description="Seconds to wait for a message if there is none yet (long polling)."
    )
