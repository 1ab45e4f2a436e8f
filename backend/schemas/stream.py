"""The server-sent events of the live stream and of the feed. Keep-alives are comments, and not among them."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, Json, RootModel

from backend.schemas.fields import Omitted
from backend.schemas.message import MessageResponse


class MessageStreamEvent(BaseModel):
    """A message, as it was recorded."""

    event: Literal["message"]
    id: str = Field(description="The message's sequence; in the feed, the cursor after it.")
    data: Json[MessageResponse]


class RedactedStreamEvent(BaseModel):
    """A message from which words were taken out: keep it in place of the one with the same id. It may come again."""

    event: Literal["redacted"]
    data: Json[MessageResponse]


class StreamEnd(BaseModel):
    """Why a stream has ended for good."""

    reason: Literal["ended", "erased"]
    ended_at: datetime | None


class EndStreamEvent(BaseModel):
    """The conversation has ended or was erased: disconnect. A client that connects again gets 204."""

    event: Literal["end"]
    id: str | Omitted = None
    data: Json[StreamEnd]


class StreamResume(BaseModel):
    """Why a stream ends here, to go on with the next one."""

    reason: str = Field(
        description="`stopping`: the worker stops. `abandoned`: the service presumed the conversation's end. Else the "
        "slug of the problem with which the token is refused now."
    )


class ResumeStreamEvent(BaseModel):
    """Connect again, with `Last-Event-ID`."""

    event: Literal["resume"]
    data: Json[StreamResume]
    retry: int | Omitted = Field(default=None, description="Milliseconds until then.")


class ConversationStreamEvent(
    RootModel[
        Annotated[
            MessageStreamEvent | RedactedStreamEvent | EndStreamEvent | ResumeStreamEvent, Field(discriminator="event")
        ]
    ]
):
    """An event of a conversation's live stream."""


class FeedStreamEvent(RootModel[Annotated[MessageStreamEvent | ResumeStreamEvent, Field(discriminator="event")]]):
    """An event of the feed."""
