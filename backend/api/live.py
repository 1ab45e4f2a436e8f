"""`/conversations/{id}/live` and `/messages/feed`: clients follow messages as they are recorded, as server-sent events.

The feed also serves pages, for clients that poll.
"""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Final, cast
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Query, Request, Response, status
from fastapi.responses import StreamingResponse

from backend.api.auth import FeedReader, Reader
from backend.api.dependencies import API
from backend.api.openapi import lines, refusals
from backend.api.sse import Permit, Stream, event, events, message, resume
from backend.errors import Fault, Invalid
from backend.principal import Principal
from backend.schemas.feed import FeedQuery
from backend.schemas.message import LiveQuery, MessagePage
from backend.schemas.page import Cursor
from backend.schemas.single_line_json import one_line
from backend.services.feed import Feed, FeedPage
from backend.services.live import Ended, Live, LiveUpdate
from backend.vocabulary import ABANDONED, LARGEST_BIGINT, Scope

router = APIRouter(prefix=API, tags=["live"])

# Milliseconds after which a client reconnects to a conversation that the service has ended after its timeout, because
# the phone may have come back.
_RECONNECT_AFTER_TIMEOUT: Final = 10_000
# Before the sequence in the id of an end, where words were taken out: who was cut off before it must hear of them.
_TOLD: Final = "0"


@router.get(
    "/conversations/{conversation_id}/live",
    operation_id="followConversation",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "`message`s as they are recorded; `redacted`; `end`; `resume`.",
            "content": lines("text/event-stream", "ConversationStreamEvent"),
        },
        204: {"description": "With `Last-Event-ID`: the conversation has ended, and has no message after that one."},
        **refusals(404, 422, 503),
    },
)
async def follow_conversation(
    request: Request,
    conversation_id: UUID,
    _caller: Reader,
    query: Annotated[LiveQuery, Query()],
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Follow a conversation: the messages on record, then new ones, in recorded order and without a gap.

    `event: message` has the message's sequence as its `id`. `event: end` says that the conversation has ended, and the
    client should disconnect; if it reconnects it gets 204, after which browsers do not reconnect. `event: resume` asks
    the client to reconnect with `Last-Event-ID`, which browsers do by themselves. `event: redacted` has a message of
    the stream from which words were taken out; it may come more than once.
    """
    live = cast("Live", request.state.live)
    permit = Permit(request, partial(_may_follow, live, conversation_id))
    await permit.ask()
    after = query.after_sequence if last_event_id is None else _sequence(last_event_id)
    if last_event_id is not None and await live.finished(conversation_id, after, told=_is_told(last_event_id)):
        return Response(status_code=status.HTTP_204_NO_CONTENT)
    return Stream(events(live.follow(conversation_id, after), permit, _written))


@router.get(
    "/messages/feed",
    operation_id="readFeed",
    response_model=MessagePage,
    responses={
        200: {
            "description": "A page; with `Accept: text/event-stream`, all messages from there on.",
            "content": lines("text/event-stream", "FeedStreamEvent"),
        },
        **refusals(422, 503),
    },
)
async def read_feed(
    request: Request,
    caller: FeedReader,
    query: Annotated[FeedQuery, Query()],
    last_event_id: Annotated[Cursor | None, Header()] = None,
) -> Response:
    """Read every message of every conversation, each once; for services that may read those of all owners.

    A client that polls with the last `next_cursor` misses no message that is committed later. The messages of each
    conversation come in the order of their `sequence`. As server-sent events, an `id` is the cursor after it.
    """
    feed = cast("Feed", request.state.feed)
    if "text/event-stream" not in request.headers.get("accept", ""):
        return _page(await feed.page(caller, query))
    permit = Permit(request, _may_read_everything)
    await permit.ask()
    begun = await feed.place(last_event_id or query.cursor, query.start)
    return Stream(events(feed.follow(begun), permit, _fed))


async def _may_follow(live: Live, conversation_id: UUID, caller: Principal) -> None:
    await live.admit(caller, conversation_id)


async def _may_read_everything(caller: Principal) -> None:
    caller.owner(Scope.CONVERSATIONS_READ_ANY)


def _sequence(last_event_id: str) -> int:
    # Python raises for more than 4,300 digits; the largest sequence has 19.
    digits = last_event_id if len(last_event_id) <= len(str(LARGEST_BIGINT)) else ""
    if digits.isascii() and digits.isdigit() and int(digits) <= LARGEST_BIGINT:
        return int(digits)
    raise Invalid([Fault("/header/last-event-id", "must be the id of the last event, which is a sequence")])


def _written(news: LiveUpdate) -> Iterator[bytes]:
    for row in news.messages:
        yield message(str(row.sequence), row.document)
    for row in news.redacted:
        yield event("redacted", orjson.Fragment(one_line(row.document)))
    if news.ended:
        yield _ended(news.ended)


def _is_told(last_event_id: str) -> bool:
    return last_event_id.startswith(_TOLD) and last_event_id != _TOLD


def _ended(ended: Ended) -> bytes:
    if ended.presumed:
        return resume(ABANDONED, retry=_RECONNECT_AFTER_TIMEOUT)
    reason = "ended" if ended.ended_at else "erased"
    # The id makes browsers send Last-Event-ID, and so get 204, even if they have received no message.
    identity = None if ended.last_sequence is None else f"{_TOLD if ended.redacted else ''}{ended.last_sequence}"
    return event("end", {"reason": reason, "ended_at": ended.ended_at}, identity=identity)


def _fed(page: FeedPage) -> Iterator[bytes]:
    for row, place in zip(page.rows, page.places, strict=True):
        yield message(place.cursor(), row.document)


def _page(page: FeedPage) -> Response:
    messages = orjson.Fragment(b"[" + b",".join(row.document for row in page.rows) + b"]")
    answer = {"data": messages, "next_cursor": page.place.cursor(), "has_more": page.has_more}
    return Response(orjson.dumps(answer), media_type="application/json")
