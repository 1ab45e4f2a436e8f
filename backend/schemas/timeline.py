"""The request and the response models of timelines."""

from datetime import datetime
from typing import Annotated, Final, NamedTuple, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from backend.schemas import page
from backend.vocabulary import LARGEST_BIGINT, Lane, SegmentKind

_EXAMPLE: Final[dict[str, JsonValue]] = {
    "lane": "user",
    "kind": "speech",
    "started_at": "2026-01-31T09:30:01.120000Z",
    "ended_at": "2026-01-31T09:30:03.480000Z",
    "estimated": False,
    "message_id": "019ab5c0-2f6e-7c1a-9d55-3b1f0c8e7a42",
    "label": "Remind me to call the dentist tomorrow at nine.",
}
_DEFAULT_LIMIT: Final = 200  # as many messages as a page shows of a transcript at once


class TimelineSegment(BaseModel):
    """One segment of a timeline."""

    lane: Lane
    kind: SegmentKind
    started_at: datetime
    ended_at: datetime | None = Field(description="The same as `started_at` for a moment; null while it goes on.")
    estimated: bool = Field(description="Whether one of the two times is an estimate.")
    message_id: UUID | None = Field(description="The message that it shows, or that was interrupted.")
    label: str = Field(description="At most 80 characters for people: the first words, a function's name, a sentence.")


class Timeline(BaseModel):
    """A part of a conversation's timeline, its segments by their beginnings."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "conversation_id": "019ab5c0-1111-7000-8000-000000000001",
                    "started_at": "2026-01-31T09:30:00Z",
                    "ended_at": "2026-01-31T09:42:10.250000Z",
                    "segments": [_EXAMPLE],
                    "next_cursor": "WzE3Njk4NTE4MDM0ODAwMDAsMSw3XQ",
                    "has_more": False,
                }
            ]
        }
    )

    conversation_id: UUID
    started_at: datetime = Field(description="The time of its first message or voice session.")
    ended_at: datetime | None
    segments: list[TimelineSegment]
    next_cursor: str | None = Field(description="The `cursor` of the next part; it stays valid at the end.")
    has_more: bool = Field(description="Whether more follows now.")


class TimelinePlace(NamedTuple):
    """A place in a timeline: after a message (``sequence``) or after the beginning of a voice session.

    A session comes before the messages of the same time.
    """

    at: datetime
    session: str | None
    sequence: int

    def cursor(self) -> str:
        """Return this place as an opaque string."""
        return page.encode_cursor(["timeline", page.to_microseconds(self.at), self.session or self.sequence])

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Return the place that ``cursor`` names; raises Invalid for one of another list."""
        match page.decode_cursor(cursor):
            case ["timeline", int(at), str(session)] if session.isprintable():
                return cls(page.from_microseconds(at), session, 0)
            case ["timeline", int(at), int(sequence)] if 0 <= sequence <= LARGEST_BIGINT:
                return cls(page.from_microseconds(at), None, sequence)
        raise page.unusable_cursor()


class TimelineQuery(BaseModel):
    """The query parameters of a timeline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: Annotated[int, Field(ge=1, le=page.LARGEST_PAGE)] = Field(
        default=_DEFAULT_LIMIT, description="Messages and voice sessions of this part; each has a few segments."
    )
    cursor: page.Cursor | None = None
