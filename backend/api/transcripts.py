"""`/conversations/{id}/messages` and `/transcript`: clients read a conversation by pages, or as a whole."""

from typing import Annotated, Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from backend import __version__
from backend.api.auth import Reader, caller_of, needs
from backend.api.dependencies import API, Db
from backend.api.etags import entity_tag, is_conditional, not_modified
from backend.api.openapi import CONDITIONAL, TAGGED, UNCHANGED, lines, refusals
from backend.api.sse import StreamedResponse
from backend.dao_service.message_dao import Version
from backend.errors import Fault, Invalid
from backend.formats.transcript import CAPTIONS, MEDIA_TYPES, TranscriptFormat, TranscriptQuery, write
from backend.schemas.message import MessagePage, MessageQuery
from backend.services import transcripts
from backend.vocabulary import Scope

router = APIRouter(prefix=f"{API}/conversations/{{conversation_id}}", tags=["transcripts"])

_SHAPES: Final = ("Transcript", "OpenAIChat", "DeepgramSettingsPatch")  # of the formats json, openai, deepgram
_TEXT: Final = (
    {media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()}
    | lines("application/jsonl", "MessageResponse")
    | {"application/json": {"schema": {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in _SHAPES]}}}
)


# A hot route: clients that follow a conversation poll it, so it calls `caller_of` itself and saves a dependency.
@router.get(
    "/messages",
    operation_id="listMessages",
    response_description="A page of messages.",
    response_model=MessagePage,
    responses={200: {"headers": TAGGED}, 304: UNCHANGED, **refusals(404, 412, 422, 503)},
    openapi_extra=needs(Scope.CONVERSATIONS_READ) | CONDITIONAL,
)
async def list_messages(
    request: Request, conversation_id: UUID, query: Annotated[MessageQuery, Query()], database: Db
) -> Response:
    """Read a page of a conversation.

    In recorded order a client that polls with the last `next_cursor` misses no message that is committed later. In
    spoken order a message that arrives late takes its place by its time, perhaps before the client's cursor.
    """
    caller = caller_of(request, Scope.CONVERSATIONS_READ)
    if is_conditional(request):
        current = await transcripts.version(database, caller, conversation_id)
        if unchanged := _unchanged(request, current):
            return unchanged
    page = await transcripts.page(database, caller, conversation_id, query)
    messages = orjson.Fragment(b"[" + b",".join(page.data) + b"]")
    answer = {"data": messages, "next_cursor": page.next_cursor, "has_more": page.has_more}
    headers = {"etag": _tag(request, page.version, exact=page.exact)}
    return Response(orjson.dumps(answer), headers=headers, media_type="application/json")


@router.get(
    "/transcript",
    operation_id="getTranscript",
    response_class=StreamingResponse,
    responses={
        200: {"description": "The whole conversation, in spoken order.", "content": _TEXT, "headers": TAGGED},
        304: UNCHANGED,
        **refusals(404, 412, 422, 503),
    },
    openapi_extra=CONDITIONAL,
)
async def get_transcript(
    request: Request,
    conversation_id: UUID,
    caller: Reader,
    database: Db,
    query: Annotated[TranscriptQuery, Query()],
) -> Response:
    """Read a whole conversation at one point in time, as a streamed response."""
    if query.strict and query.format is not TranscriptFormat.OPENAI:
        raise Invalid([Fault("/query/strict", "is a variant of the format openai only")])
    if is_conditional(request):
        current = await transcripts.version(database, caller, conversation_id)
        if unchanged := _unchanged(request, current):
            return unchanged
    found = await transcripts.transcript(database, caller, conversation_id)
    began = await transcripts.call_began(database, conversation_id) if query.format in CAPTIONS else None
    body = write(query.format, conversation_id, found.parts, strict=query.strict, began=began)
    headers = {"etag": _tag(request, found.version, exact=found.exact)}
    return StreamedResponse(body, headers=headers, media_type=MEDIA_TYPES[query.format])


def _unchanged(request: Request, version: Version) -> Response | None:
    """Return 304 if the client names either tag of ``version``, else None."""
    return not_modified(request, *(_tag(request, version, exact=exact) for exact in (True, False)))


def _tag(request: Request, version: Version, *, exact: bool) -> str:
    """Return a strong tag for a body that has ``exact``-ly the state ``version``, else a weak tag with another text."""
    # Not of `request.url`, which takes longer to parse than the rest of the answer to write.
    asked = (request.scope["path"], request.scope["query_string"].decode("latin-1"))
    tag = entity_tag(__version__, *asked, exact, *version)
    return tag if exact else f"W/{tag}"
