"""Uvicorn's HTTP protocol with limits: no client makes a worker hold memory, connections or time without end.

Uvicorn itself bounds neither the head of a request nor the time for it, reads pipelined requests as fast as they
come, and waits for ever for a peer that takes nothing of an answer. Here each of these has a limit (`limits`), kept
by a subclass of its protocol (`protocol`). All connections of a worker are listed in one place (`connections`), which
looks at them once a second, so that the path of an ordinary request sets no timer.
"""

from backend.http_limits.factory import LimitedHTTP
from backend.http_limits.files import allow_connections
from backend.http_limits.limits import HttpLimits

__all__ = ["HttpLimits", "LimitedHTTP", "allow_connections"]
