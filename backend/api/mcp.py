"""`/mcp`: the tools for language models (`backend.mcp_server`), each answered by requests to this service itself."""

import asyncio
from importlib import import_module
from typing import Any

import httpx
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from backend.api.admission import leave
from backend.api.dependencies import MCP
from backend.api.problems import HTTP_PROBLEMS, problem_body, problem_response
from backend.mcp_server import HOW_TO_INSTALL, is_installed

router = APIRouter(include_in_schema=False)


@router.post(MCP)
async def mcp() -> Response:
    """Serve one request of the Model Context Protocol; without the extra, 404 says how to install it."""
    if not is_installed():
        return problem_response(problem_body(HTTP_PROBLEMS[404], HOW_TO_INSTALL))
    return _ToolResponse()


class _ToolResponse(Response):
    """Passes the request on to the protocol's server, which sends the response."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server: Any = await asyncio.to_thread(import_module, "backend.mcp_server.server")
        token = Request(scope).headers.get("authorization", "").partition(" ")[2] or None
        transport = httpx.ASGITransport(_inside(scope), client=scope.get("client") or ("127.0.0.1", 0))
        async with httpx.AsyncClient(transport=transport, trust_env=False) as http:
            await server.serve_request(http, token, scope, receive, send)


def _inside(outer: Scope) -> Any:
    """Return the application for the requests that a tool makes: with the state of the worker, from the same client.

    Such a request goes through all middlewares as if it came from the client, also through the queue. The request to
    `/mcp` gives back its own place first, so that the two do not wait for each other.
    """

    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        leave(outer)
        await outer["app"]({**scope, "state": dict(outer["state"])}, receive, send)

    return inside
