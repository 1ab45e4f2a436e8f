"""Health checks for load balancers, metrics for Prometheus, and pages for people: `/docs` and `/problems/{slug}`."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Final, cast

import orjson
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from backend.api.docs import html_page
from backend.api.problems import ALL, HTTP_PROBLEMS, UNREADY, page, problem_body, problem_response
from backend.observability import workers
from backend.services.database_metrics import DatabaseMetrics
from backend.services.health import Health
from backend.services.single_flight import SingleFlight

METRICS_FRESH_SECONDS: Final = 1.0  # seconds for which the text of `/metrics` is cached
_ASSETS: Final = "/docs/assets"
_PACKAGED: Final = Path(__file__).with_name("openapi.json")
_CHECKOUT: Final = Path(__file__).parents[2] / "openapi.json"

_READING: Final = ["GET", "HEAD"]  # load balancers ask with HEAD

router = APIRouter(tags=["service"], include_in_schema=False)


@router.api_route("/livez", methods=_READING)
async def livez() -> Response:
    """Say that the process answers. It never queries the database, because a restart of the worker repairs none."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.api_route("/readyz", methods=_READING)
async def readyz(request: Request) -> Response:
    """Say whether the worker can record messages, and if not, why; with `?verbose` also how durable they are."""
    found = await cast("Health", request.state.health).check()
    if not found.readiness.ready:
        body = problem_body(UNREADY, found.remedy or UNREADY.remedy, checks=found.readiness)
        return problem_response(body, {"retry-after": "2"})
    body = {"status": "ok", "checks": found.readiness}
    if "verbose" in request.query_params:
        body["durability"] = found.durability
        if found.nodes:
            body["nodes"] = found.nodes
    return Response(orjson.dumps(body), media_type="application/json")


@router.api_route("/metrics", methods=_READING)
async def metrics(request: Request) -> Response:
    """Show the metrics of all workers, for Prometheus."""
    cast("DatabaseMetrics", request.state.figures).refresh()
    counted = await cast("SingleFlight[bytes]", request.state.metrics).get(METRICS_FRESH_SECONDS)
    return Response(counted, media_type=CONTENT_TYPE_LATEST)


def counts() -> SingleFlight[bytes]:
    """Return the text of `/metrics` as a single flight.

    A thread writes it, because that takes tens of milliseconds, in which the event loop would serve no request.
    """
    return SingleFlight(partial(asyncio.to_thread, _exposition))


def _exposition() -> bytes:
    return generate_latest(workers.registry())


@router.api_route("/openapi.json", methods=_READING)
async def openapi() -> FileResponse:
    """Describe the API, as `make openapi` has written it down."""
    return FileResponse(_PACKAGED if _PACKAGED.is_file() else _CHECKOUT, media_type="application/json")


@router.get("/problems/{slug}")
async def problem(slug: str) -> HTMLResponse:
    """Say what a problem means and what the client should do."""
    if slug not in ALL:
        raise HTTPException(HTTP_PROBLEMS[404].status)
    return html_page(page(ALL[slug]))


def install(app: FastAPI) -> None:
    """Add these routes to ``app``, and `/docs` with files of this package, so that it needs no other host."""
    app.mount(_ASSETS, StaticFiles(directory=Path(__file__).with_name("swagger_ui")))
    app.include_router(router)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        swagger = get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
        )
        return html_page(bytes(swagger.body).decode())
