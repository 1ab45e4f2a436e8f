"""Runs the service with Uvicorn: one listening socket, one or several worker processes, and their supervisor."""

import asyncio
import os
import socket
import tempfile
import time
from ipaddress import ip_address
from typing import Final, cast
from weakref import WeakKeyDictionary

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from backend.http_limits import HttpLimits, LimitedHTTP, allow_connections
from backend.shutdown import SIGNALS, STOP
from verbatim_record.setup_error import SetupError

# Seconds after which the supervisor kills a worker that does not answer its pings. A worker answers once its modules
# are imported. On a busy machine that takes longer than Uvicorn's 5 s, after which it would kill each worker again.
_HUNG_SECONDS: Final = 30
_PING_TIMEOUT: Final = 0.2  # seconds for one ping, before the supervisor pings the next worker and looks for signals

log = structlog.get_logger(__name__)

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
    with tempfile.TemporaryDirectory(prefix="verbatim-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        supervisor = _Supervisor(config, sockets=[listener])
        if not STOP.requested:
            supervisor.run()
        if supervisor.failed:
            raise SetupError("A worker process could not start; the log says why.")


class _Server(uvicorn.Server):
    """Uvicorn's server; it also ends after a signal that arrived before Uvicorn installed its handlers."""

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or STOP.requested


class _Supervisor(Multiprocess):
    """Uvicorn's supervisor, but it handles signals while a worker is slow to answer, and logs each worker that ends.

    Uvicorn's own waits until the timeout of a ping, also if the worker has died or is still starting.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.failed = False  # a worker could not start
        # When each worker last answered a ping, or was first pinged.
        self._answered: WeakKeyDictionary[Process, float] = WeakKeyDictionary()

    def keep_subprocess_alive(self) -> None:
        for place, worker in enumerate(self.processes):
            if self._is_stopping:
                return
            if self._is_well(worker):
                continue
            hung = worker.process.is_alive()
            worker.kill()
            worker.join()
            if worker.exitcode == STARTUP_FAILURE:  # a new worker would fail in the same way
                self.failed = True
                self.should_exit.set()
            if self._is_stopping:
                return
            log.error("a worker hung and was killed" if hung else "a worker died", pid=worker.pid, code=worker.exitcode)
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    @property
    def _is_stopping(self) -> bool:
        """Whether a signal has arrived. Uvicorn's handler queues it, and Uvicorn's loop reads the queue only later."""
        return self.should_exit.is_set() or any(number in SIGNALS for number in self.signal_queue)

    def _is_well(self, worker: Process) -> bool:
        if not worker.process.is_alive():
            return False
        now = time.monotonic()
        if worker.ping(_PING_TIMEOUT):
            self._answered[worker] = now
        return now - self._answered.setdefault(worker, now) < _HUNG_SECONDS
