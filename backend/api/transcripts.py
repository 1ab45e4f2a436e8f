"""`/conversations/{id}/messages` and `/transcript`: what was said is read back."""

from typing import Annotated, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from backend.api.auth import Reader, caller_of, needs
from backend.api.dependencies import API, Db
from backend.api.openapi import refusals
from backend.schemas.message import Message
from backend.schemas.page import MessageQuery, Page
from backend.schemas.transcript import MEDIA_TYPES, TranscriptFormat, write
from backend.services import transcripts
from backend.vocabulary import Scope

router = APIRouter(prefix=f"{API}/conversations/{{conversation_id}}", tags=["transcripts"])

_TEXT: Final = {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()} | {
    "application/json": {
        "schema": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Transcript", "DeepgramSettings")]}
    }
}


# Asked again and again by whoever follows a conversation, so that a dependency fewer shows.
@router.get(
    "/messages",
    operation_id="listMessages",
    response_model=Page[Message],
    responses=refusals(404, 422, 503),
    openapi_extra=needs(Scope.CONVERSATIONS_READ),
)
async def list_messages(
    request: Request, conversation_id: UUID, query: Annotated[MessageQuery, Query()], database: Db
) -> Response:
    """Read a page of a conversation.

    In recorded order a reader that keeps asking with the last `next_cursor` misses nothing that commits later. In
    spoken order a message that arrives late takes its place in the middle, perhaps behind the reader.
    """
    caller = caller_of(request, Scope.CONVERSATIONS_READ)
    page = await transcripts.page(database, caller, conversation_id, query)
    messages = orjson.Fragment(f"[{','.join(page.data)}]")
    answer = {"data": messages, "next_cursor": page.next_cursor, "has_more": page.has_more}
    return Response(orjson.dumps(answer), media_type="application/json")


@router.get(
    "/transcript",
    operation_id="getTranscript",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The whole conversation, in spoken order.", "content": _TEXT},
        **refusals(404, 422, 503),
    },
)
async def get_transcript(
    conversation_id: UUID,
    caller: Reader,
    database: Db,
    transcript_format: Annotated[TranscriptFormat, Query(alias="format")] = TranscriptFormat.JSON,
) -> StreamingResponse:
    """Read a whole conversation as it stands now, streamed."""
    parts = transcripts.transcript(database, caller, conversation_id)
    first = await anext(parts)  # what can be refused is refused before the answer begins
    body = write(transcript_format, conversation_id, first, parts)
    return StreamingResponse(body, media_type=MEDIA_TYPES[transcript_format])
