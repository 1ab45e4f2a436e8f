"""The limit of open files (RLIMIT_NOFILE): each HTTP connection needs one, and so do the database pool and the log."""

import resource
from dataclasses import replace
from typing import Final

import structlog

from backend.http_limits.limits import HttpLimits

OTHER_FILES: Final = 256  # of a worker besides its connections: the pool (at most 100), modules, logs, metrics

log = structlog.get_logger(__name__)


def allow_connections(limits: HttpLimits) -> HttpLimits:
    """Raise this process's soft limit of open files as far as ``limits`` needs and the hard limit allows.

    Returns ``limits``; with fewer connections if the hard limit is too low for them, so that the database pool and the
    health checks keep their files.
    """
    wanted = limits.connections + limits.spare_connections + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _enough(soft, wanted):
        return limits
    allowed = wanted if _enough(hard, wanted) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed == wanted:
        return limits
    left = max(allowed - OTHER_FILES, 4)
    spare = min(limits.spare_connections, left // 4)
    connections = left - spare
    log.warning("fewer connections than configured", nofile=allowed, wanted=wanted, connections=connections)
    share = min(limits.connections_per_address, connections)
    return replace(limits, connections=connections, connections_per_address=share, spare_connections=spare)


def _enough(limit: int, wanted: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= wanted
