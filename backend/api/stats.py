"""`/stats`: the figures of a period."""

from typing import Annotated, cast

from fastapi import APIRouter, Query, Request, Response

from backend.api.auth import Reader
from backend.api.dependencies import API
from backend.api.openapi import refusals
from backend.schemas.stats import Stats, StatsQuery
from backend.services.figures import PeriodFigures

router = APIRouter(prefix=f"{API}/stats", tags=["figures"])


@router.get(
    "",
    operation_id="getStats",
    response_description="The figures.",
    response_model=Stats,
    responses=refusals(422, 503),
)
async def get_stats(request: Request, query: Annotated[StatsQuery, Query()], caller: Reader) -> Response:
    """Count calls, turns, incidents and latencies over time, by default over the last day.

    A person's figures are those of their own conversations. An answer is remembered for a minute.
    """
    figures = cast("PeriodFigures", request.state.period_figures)
    return Response(await figures.stats(caller, query), media_type="application/json")
