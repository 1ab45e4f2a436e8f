"""Runs the service with Uvicorn: one listening socket, and one or several worker processes."""

import asyncio
import os
import socket
import tempfile
from ipaddress import ip_address
from typing import Final, cast

import uvicorn

from backend.http_limits import HttpLimits, LimitedHTTP, allow_connections
from backend.shutdown import STOP
from verbatim_record.setup_error import SetupError

_LOCAL_GREETING: Final = """\
Verbatim listens on {address}. No authentication is configured, so it serves only clients on this machine, and
allows them every operation. Try, in another terminal:

  A={address}/api/v1 J='content-type: application/json'
  id=$(curl -s $A/conversations -H "$J" -d '{{"context_type": "voice"}}' | grep -o '"id":"[^"]*' | cut -c7-)
  curl -s $A/voice/messages -H "$J" -d '{{"conversation_id": "'$id'", "role": "user", "content": "Hello"}}'
  curl -s "$A/conversations/$id/transcript?format=text"

"""
_GREETING: Final = """\
Verbatim listens on {address}. Every request needs a token: `verbatim token create` creates one for a service,
`verbatim token dev` one for a person, if an issuer with a secret is configured.

"""
_PAGES: Final = "The API, to read and to try: {address}/docs\n"
_PAGES_WITH_CONSOLE: Final = "The calls, to look at: {address}/console/\n" + _PAGES


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; raises SetupError when that is not possible.

    On `::` it accepts IPv4 connections, too, whatever the operating system's default is.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = family == socket.AF_INET6 and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no such address"
        reason = reason.partition(" (")[0]  # Python repeats the address there
        raise SetupError(f"Cannot listen on {host}, port {port}: {reason}. Choose another with --port.") from None


def is_loopback(host: str) -> bool:
    """Tell whether ``host`` has only loopback addresses; True also for a name without an address."""
    if not host:
        return False
    try:
        found = {str(address[4][0]).partition("%")[0] for address in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return True  # `listen` then raises with the reason
    return all(ip_address(address).is_loopback for address in found)


def greeting(listener: socket.socket, *, local_only: bool, console: bool) -> str:
    """Return the text that `verbatim serve` prints for the operator once the service listens."""
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    text = (_LOCAL_GREETING if local_only else _GREETING) + (_PAGES_WITH_CONSOLE if console else _PAGES)
    return text.format(address=address)


def run(
    listener: socket.socket, workers: int, limits: HttpLimits, *, shutdown_timeout: int, keep_alive_timeout: int
) -> None:
    """Serve until SIGTERM or SIGINT, with the settings of the environment.

    ``limits`` apply to each worker; the timeouts are in seconds. Sets the limit of open files as high as ``limits``
    need (`allow_connections`). Raises SetupError when a worker process cannot start.
    """
    config = uvicorn.Config(
        "backend.app:from_environment",
        factory=True,
        http=cast("type[asyncio.Protocol]", LimitedHTTP(allow_connections(limits))),
        loop="backend.http_limits.loop:Loop",
        ws="none",
        workers=workers,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `app` reads them, from trusted proxies only
        timeout_keep_alive=keep_alive_timeout,
        timeout_graceful_shutdown=shutdown_timeout,
    )
    # From here on a signal lets the server finish its requests, so its handler must not raise SystemExit.
    STOP.note()
    if STOP.requested:
        return
    if workers == 1:
        _Server(config).run(sockets=[listener])
        return
    from backend.supervisor import Supervisor  # noqa: PLC0415 -- Uvicorn's supervisors take 2 MB to import

    with tempfile.TemporaryDirectory(prefix="verbatim-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        supervisor = Supervisor(config, sockets=[listener])
        if not STOP.requested:
            supervisor.run()
        if supervisor.failed:
            raise SetupError("A worker process could not start; the log says why.")


class _Server(uvicorn.Server):
    """Uvicorn's server; it also ends after a signal that arrived before Uvicorn installed its handlers."""

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or STOP.requested
