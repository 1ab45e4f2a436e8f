"""The tools for language models: a read-only server of the Model Context Protocol (https://modelcontextprotocol.io).

Each tool is one or a few calls of the service's own HTTP API, made with the Python client of `clients/python`. So who
may read what, how often and how much is decided where it is decided for every client. The service serves the tools at
`/mcp` (`backend.api.mcp`), where the calls stay in the process and carry the token of the request. `verbatim mcp`
serves them on standard input and output, where the calls go to the URL of a running service.

Only `server` imports the package `mcp`, which is an extra and takes 0.8 s to import.
"""

from importlib.util import find_spec
from typing import Final

HOW_TO_INSTALL: Final = "The tools for language models are an extra: install verbatim-server[mcp]."


def is_installed() -> bool:
    """Tell whether the extra is installed."""
    return find_spec("mcp") is not None
