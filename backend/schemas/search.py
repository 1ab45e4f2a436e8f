"""Request and response models of search."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.schemas import page
from backend.schemas.fields import Instant, Label
from backend.schemas.message import EXAMPLE_ON_RECORD, MessageResponse
from backend.vocabulary import LARGEST_BIGINT, ContextType
from verbatim_record.vocabulary import Role

MOST_CHARACTERS: Final = 200  # of a query
LARGEST_PAGE: Final = 50
DEFAULT_LIMIT: Final = 20
NEIGHBOUR_CHARACTERS: Final = 200

_EXAMPLE: Final[dict[str, JsonValue]] = {
    "conversation_id": EXAMPLE_ON_RECORD["conversation_id"],
    "message": EXAMPLE_ON_RECORD,
    "ranges": [[22, 29]],
    "before": {"sequence": 6, "role": "assistant", "content": "What can I do for you?", "cut": False},
    "after": None,
}


class Accents(StrEnum):
    """Whether a search without an accent finds the letter with it; `exact` finds only the letters that were typed."""

    IGNORE = "ignore"
    EXACT = "exact"


class SearchNeighbour(BaseModel):
    """The message before or after one that was found, in recorded order."""

    sequence: int
    role: Role
    content: str = Field(description=f"At most {NEIGHBOUR_CHARACTERS} characters of it.")
    cut: bool = Field(description="Whether `content` lacks the rest of the message.")


class SearchHit(BaseModel):
    """A message that was found."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    conversation_id: UUID
    message: MessageResponse
    ranges: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = Field(
        description="Where in `content` it was found: `[start, end]`, in Unicode code points from 0, `end` exclusive. "
        "Empty where the words are in `metadata`, or are written as escapes."
    )
    before: SearchNeighbour | None
    after: SearchNeighbour | None


class SearchPage(page.Page[SearchHit]):
    """A page of messages that were found, the newest first."""

    indexed_up_to: datetime | None = Field(
        description="When the newest message that can be found was recorded; null if none can be found yet."
    )


class SearchPlace(NamedTuple):
    """A place in what was found, newest first: the position of a message in the feed."""

    position: int

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return page.encode_cursor(["search", self.position])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case ["search", int(position)] if abs(position) <= LARGEST_BIGINT:
                return cls(position)
        raise page.unusable_cursor()


class SearchQuery(BaseModel):
    """The query parameters of a search."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    q: Annotated[str, Field(max_length=MOST_CHARACTERS)] = Field(
        description='Words that all must occur: `"a phrase"`, `-not`, `begin*`; at most 16.'
    )
    role: Role | None = None
    user_id: Label | None = Field(
        default=None, description="Only this owner's; requires a service token that may read every owner's."
    )
    context_type: ContextType | None = None
    since: Instant | None = Field(default=None, description="Said at this time or later.")
    until: Instant | None = Field(default=None, description="Said before this time.")
    accents: Accents = Accents.IGNORE
    limit: Annotated[int, Field(ge=1, le=LARGEST_PAGE)] = DEFAULT_LIMIT
    cursor: page.Cursor | None = None
