"""The console: a page for people, which reads the public API. `static/` is built of the sources in `console/`.

The page needs no authentication, because it holds no data: it asks the reader for a token where the API needs one.
"""

from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response, status
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware

from backend.api.docs import page_headers

FILES: Final = Path(__file__).with_name("static")
_PATH: Final = "/console"
_POLICY: Final = "content-security-policy"
_PAGE: Final = page_headers() | {
    "cache-control": "no-cache",
    _POLICY: f"{page_headers()[_POLICY]}; require-trusted-types-for 'script'; trusted-types 'none'",
}
# The names of scripts and styles contain a hash of their content.
_ASSET: Final = {"cache-control": "public, max-age=31536000, immutable"}


class _Files(StaticFiles):
    def file_response(self, full_path: str, *arguments: object) -> Response:  # type: ignore[override]
        response = super().file_response(full_path, *arguments)  # type: ignore[arg-type]
        response.headers.update(_PAGE if Path(full_path).suffix == ".html" else _ASSET)
        return response


def install(app: FastAPI) -> None:
    """Add the console to ``app``."""

    @app.api_route(_PATH, methods=["GET", "HEAD"], include_in_schema=False)
    async def console(_request: Request) -> Response:
        # Relative, because a proxy may serve this below a path of its own.
        return Response(status_code=status.HTTP_308_PERMANENT_REDIRECT, headers={"location": "console/"})

    app.mount(_PATH, GZipMiddleware(_Files(directory=FILES, html=True)))
