"""Uvicorn's HTTP protocol with limits: a client can occupy only a bounded part of a worker's memory and connections.

Uvicorn itself bounds neither the size of a request's head nor the time for it, reads pipelined requests as fast as they
arrive, and waits without a timeout for a client that does not read its response. Here each of these has a limit
(`limits`), which a subclass of Uvicorn's protocol keeps (`protocol`). One registry lists all connections of a worker
(`connections`) and checks their deadlines once a second, so that an ordinary request sets no timer.
"""

from backend.http_limits.factory import LimitedHTTP
from backend.http_limits.files import allow_connections
from backend.http_limits.limits import HttpLimits

__all__ = ["HttpLimits", "LimitedHTTP", "allow_connections"]
