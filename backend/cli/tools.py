"""The command that serves the tools for language models: mcp."""

import asyncio
from typing import Annotated

import typer

from backend.errors import SettingsError
from backend.http_client import secret
from backend.mcp_server import HOW_TO_INSTALL, is_installed
from backend.settings import Settings


def mcp(
    url: Annotated[str, typer.Option(help="The service to read from.")] = "http://127.0.0.1:8000",
    token: Annotated[str | None, typer.Option(help="The token to send; by default VERBATIM_TOKEN.")] = None,
) -> None:
    """Serve the tools for language models on standard input and output, as a program starts an MCP server.

    They read from a running service, and see what the token may read. VERBATIM_TOKEN keeps the token out of the list of
    processes.
    """
    if not is_installed():
        raise SettingsError(HOW_TO_INSTALL)
    from backend.mcp_server.server import serve_stdio  # noqa: PLC0415 -- of the extra

    settings = Settings.from_environment()
    asyncio.run(serve_stdio(url, token or secret(settings.token), secret(settings.proxy)))
