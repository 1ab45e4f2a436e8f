"""`/search`: clients find messages by what was said in them."""

from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Query, Request, Response

from backend.api.auth import Reader
from backend.api.dependencies import API, Db
from backend.api.openapi import refusals
from backend.errors import SearchDisabled
from backend.schemas.search import SearchPage, SearchQuery
from backend.services import search as searches

PATH: Final = f"{API}/search"

router = APIRouter(tags=["search"])


@router.get(
    PATH,
    operation_id="search",
    response_description="A page of messages, the newest first.",
    response_model=SearchPage,
    responses=refusals(404, 422, 503),
)
async def search(request: Request, caller: Reader, query: Annotated[SearchQuery, Query()], database: Db) -> Response:
    """Find messages that have all words of `q`, in capitals or not, with accents or without.

    A message is found within seconds after it was recorded. Counts as five requests for the rate limit.
    """
    if not request.state.search:
        raise SearchDisabled
    page = await searches.page(database, caller, query)
    answer = {
        "data": [hit.members() for hit in page.data],
        "next_cursor": page.next_cursor,
        "has_more": page.has_more,
        "indexed_up_to": page.indexed_up_to,
    }
    return Response(orjson.dumps(answer, option=orjson.OPT_UTC_Z), media_type="application/json")
