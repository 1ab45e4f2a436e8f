"""What machines and people ask of the service itself."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Final, cast

import orjson
import psutil
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.exceptions import HTTPException

from backend.api.docs import html_page
from backend.api.problems import ALL, HTTP_PROBLEMS, UNREADY, answer, page, problem_body
from backend.observability.processes import WorkerProcesses
from backend.services.database_metrics import DatabaseMetrics
from backend.services.health import Health
from backend.services.single_flight import SingleFlight

METRICS_FRESH_SECONDS: Final = 1.0  # seconds, for which what was counted is not counted again
_ASSETS: Final = "/docs/assets"

_READING: Final = ["GET", "HEAD"]  # load balancers ask with HEAD

router = APIRouter(tags=["service"], include_in_schema=False)


@router.api_route("/livez", methods=_READING)
async def livez() -> Response:
    """Say that the process answers. Never asks the database: a restart would not bring that back."""
    return Response(b'{"status":"ok"}', media_type="application/json")


@router.api_route("/readyz", methods=_READING)
async def readyz(request: Request) -> Response:
    """Say whether messages can be taken, and if not, why; with `?verbose` also what an acknowledged one survives."""
    found = await cast("Health", request.state.health).look()
    if not found.readiness.ready:
        body = problem_body(UNREADY, found.remedy or UNREADY.remedy, checks=found.readiness)
        return answer(body, {"retry-after": "2"})
    body = {"status": "ok", "checks": found.readiness}
    if "verbose" in request.query_params:
        body["durability"] = found.in_force
    return Response(orjson.dumps(body), media_type="application/json")


@router.api_route("/metrics", methods=_READING)
async def metrics(request: Request) -> Response:
    """Say what was counted, for Prometheus; over all workers where there are several."""
    cast("DatabaseMetrics", request.state.figures).refresh()
    counted = await cast("SingleFlight[bytes]", request.state.metrics).get(METRICS_FRESH_SECONDS)
    return Response(counted, media_type=CONTENT_TYPE_LATEST)


def counts() -> SingleFlight[bytes]:
    """Return what `/metrics` says, written in a thread: it takes tens of milliseconds, and anybody may ask."""
    return SingleFlight(partial(asyncio.to_thread, _exposition))


def _exposition() -> bytes:
    registry = REGISTRY
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        _forget_the_dead(Path(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        registry.register(WorkerProcesses(Path(folder)))
    return generate_latest(registry)


def _forget_the_dead(folder: Path) -> None:
    """Leave out what workers that were killed had in hand."""
    for file in folder.glob("gauge_live*_*.db"):
        worker = int(file.stem.rpartition("_")[2])
        if not psutil.pid_exists(worker):
            mark_process_dead(worker)  # type: ignore[no-untyped-call]


@router.get("/problems/{slug}")
async def problem(slug: str) -> HTMLResponse:
    """Say what a problem means and what its caller should do."""
    if slug not in ALL:
        raise HTTPException(HTTP_PROBLEMS[404].status)
    return html_page(page(ALL[slug]))


def install(app: FastAPI) -> None:
    """Add the routes, and `/docs` with files of this package, so that it needs no other host."""
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
