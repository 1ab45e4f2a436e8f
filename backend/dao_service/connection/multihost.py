"""Several hosts in one URL: a primary and its standbys, of which the one that takes writes is wanted.

All are asked at the same time. A host that has lost its power says nothing at all, and whoever waits for it before
asking the next has spent its patience on it.
"""

import asyncio
import re
from collections.abc import Coroutine, Iterable
from typing import Any, Final

import asyncpg
from sqlalchemy import URL, make_url

# As libpq writes it, which SQLAlchemy takes for a port: postgresql://user@one:5432,two:5432/name
_LISTED: Final = re.compile(r"(\w[\w+]*://)([^/?#]*@)?([^/?#@]*,[^/?#@]*)(.*)", re.DOTALL)
_OWN_PORT: Final = re.compile(r"([^:/]+|\[.*\]):\d+")

Attempt = Coroutine[Any, Any, asyncpg.Connection]


def parse(url: str) -> URL:
    """Return ``url``, whichever way it names its hosts; raises ArgumentError or ValueError for what is none."""
    if listed := _LISTED.fullmatch(url):
        scheme, user, hosts, rest = listed.groups()
        return make_url(f"{scheme}{user or ''}{rest}").update_query_pairs(("host", host) for host in hosts.split(","))
    return make_url(url)


def each(url: URL) -> list[URL]:
    """Return a URL for each host that ``url`` names; raises ValueError when it names more ports, or fewer."""
    hosts = _split(url.query.get("host", ""))
    if len(hosts) < 2:  # noqa: PLR2004 -- the driver understands one
        return [url]
    ports = _split(url.query.get("port", str(url.port or "")))
    bare = url.set(host=None, port=None).difference_update_query(["host", "port"])
    places = zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True)
    return [bare.update_query_dict(_place(host, port)) for host, port in places]


def names(url: URL) -> str:
    """Return the hosts, for a person."""
    return url.host or ", ".join(_split(url.query.get("host", ""))) or "localhost"


async def first(attempts: Iterable[Attempt]) -> asyncpg.Connection:
    """Return the connection that is there first; if there is none, raise what tells most."""
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
                task.add_done_callback(_let_go)
    failures = [failure for task in tasks if (failure := task.exception())]
    # A host that answers knows more than one that does not.
    raise next((failure for failure in failures if not isinstance(failure, OSError)), failures[0])


def _let_go(task: "asyncio.Future[asyncpg.Connection]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def _place(host: str, port: str) -> dict[str, str]:
    return {"host": host} if not port or _OWN_PORT.fullmatch(host) else {"host": host, "port": port}


def _split(named: str | tuple[str, ...]) -> list[str]:
    listed = named if isinstance(named, str) else ",".join(named)
    return listed.split(",") if listed else [""]
