"""`/conversations/{id}/timeline`: who spoke when, with silences, function calls, connections and incidents."""

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request, Response

from backend.api.auth import Reader
from backend.api.dependencies import API, Db
from backend.api.etags import entity_tag, not_modified
from backend.api.openapi import CONDITIONAL, TAGGED, UNCHANGED, refusals
from backend.schemas.timeline import Timeline, TimelineQuery
from backend.services import timelines

router = APIRouter(prefix=f"{API}/conversations/{{conversation_id}}", tags=["transcripts"])


@router.get(
    "/timeline",
    operation_id="getTimeline",
    response_description="A part of the timeline.",
    response_model=Timeline,
    responses={200: {"headers": TAGGED}, 304: UNCHANGED, **refusals(404, 412, 422, 503)},
    openapi_extra=CONDITIONAL,
)
async def get_timeline(
    request: Request, conversation_id: UUID, query: Annotated[TimelineQuery, Query()], caller: Reader, database: Db
) -> Response:
    """Read when each side spoke, and what happened: silences, function calls, connections and incidents."""
    part = await timelines.part(database, caller, conversation_id, query)
    segments = [segment._asdict() for segment in part.segments]
    body = orjson.dumps(
        {
            "conversation_id": part.conversation_id,
            "started_at": part.started_at,
            "ended_at": part.ended_at,
            "segments": segments,
            "next_cursor": part.next_cursor,
            "has_more": part.has_more,
        },
        default=str,  # of asyncpg's own UUID
        option=orjson.OPT_UTC_Z,
    )
    tag = entity_tag(body.decode())
    return not_modified(request, tag) or Response(body, headers={"etag": tag}, media_type="application/json")
