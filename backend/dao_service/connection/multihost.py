"""Failover among several hosts in one PostgreSQL URL: a primary and its standbys.

The service connects to all hosts at the same time and uses the first that accepts writes. Tried one after the other, a
host without power, which answers nothing, would use up the connect time-out before the next host is tried.
"""

import asyncio
import re
from collections.abc import Coroutine, Iterable
from typing import Any, Final

import asyncpg
from sqlalchemy import URL, make_url

# libpq's list of hosts, whose comma SQLAlchemy takes for part of a port: postgresql://user@one:5432,two:5432/name
_LISTED: Final = re.compile(r"(\w[\w+]*://)([^/?#]*@)?([^/?#@]*,[^/?#@]*)(.*)", re.DOTALL)
_OWN_PORT: Final = re.compile(r"([^:/]+|\[.*\]):\d+")

Attempt = Coroutine[Any, Any, asyncpg.Connection]


def parse_url(url: str) -> URL:
    """Return ``url``, with one host, libpq's list of hosts or `host` parameters, as a SQLAlchemy URL.

    Raises ArgumentError or ValueError when it is not a URL.
    """
    if listed := _LISTED.fullmatch(url):
        scheme, user, hosts, rest = listed.groups()
        return make_url(f"{scheme}{user or ''}{rest}").update_query_pairs(("host", host) for host in hosts.split(","))
    return make_url(url)


def split_hosts(url: URL) -> list[URL]:
    """Return a URL for each host of ``url``; raises ValueError unless it has one port or one for each host."""
    hosts = _split(url.query.get("host", ""))
    if len(hosts) < 2:  # noqa: PLR2004 -- asyncpg understands a single host
        return [url]
    ports = _split(url.query.get("port", str(url.port or "")))
    bare = url.set(host=None, port=None).difference_update_query(["host", "port"])
    places = zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True)
    return [bare.update_query_dict(_host_query(host, port)) for host, port in places]


def host_names(url: URL) -> str:
    """Return the host names of ``url`` as text for an operator, separated by commas."""
    return url.host or ", ".join(_split(url.query.get("host", ""))) or "localhost"


async def first_connected(attempts: Iterable[Attempt]) -> asyncpg.Connection:
    """Return the connection of the attempt that succeeds first, and cancel the others.

    If all fail, raises the error of a host that answered, else that of the first host in the URL.
    """
    tasks = [asyncio.ensure_future(attempt) for attempt in attempts]
    waiting, winner = {*tasks}, None
    try:
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            winner = next((task for task in tasks if task in done and task.exception() is None), None)
            if winner:
                return winner.result()
    finally:
        for task in tasks:
            if task is not winner:
                task.cancel()
                task.add_done_callback(_terminate_late)
    failures = [failure for task in tasks if (failure := task.exception())]
    # The refusal of a host that answered tells the operator more than a network error.
    raise next((failure for failure in failures if not isinstance(failure, OSError)), failures[0])


def _terminate_late(task: "asyncio.Future[asyncpg.Connection]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def _host_query(host: str, port: str) -> dict[str, str]:
    return {"host": host} if not port or _OWN_PORT.fullmatch(host) else {"host": host, "port": port}


def _split(named: str | tuple[str, ...]) -> list[str]:
    listed = named if isinstance(named, str) else ",".join(named)
    return listed.split(",") if listed else [""]
