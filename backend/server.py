"""How the service listens, what it says, and how its workers run."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from ipaddress import ip_address
from types import FrameType
from typing import Final, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from backend.errors import SetupError
from backend.http_limits import LimitedHTTP, Limits, allow_connections

# A worker that does not answer its supervisor for so long, in seconds, is killed. It answers once its modules are
# there, which on a busy machine takes longer than the five that Uvicorn would wait: then none would ever come up.
_PATIENCE: Final = 30
_TURN: Final = 0.2  # seconds for an answer, before others are asked and signals heard

# That it was told to end. The exit that follows is lost where Python calls back what may not raise, as in an import.
_TOLD: Final = threading.Event()

_LOCAL_GREETING: Final = """\
Verbatim listens on {address}. Nothing is configured to tell callers apart, so it serves this machine alone, and
whoever is on it may do everything. Try, in another terminal:

  A={address}/api/v1 J='content-type: application/json'
  id=$(curl -s $A/conversations -H "$J" -d '{{"context_type": "voice"}}' | grep -o '"id":"[^"]*' | cut -c7-)
  curl -s $A/voice/messages -H "$J" -d '{{"conversation_id": "'$id'", "role": "user", "content": "Hello"}}'
  curl -s "$A/conversations/$id/transcript?format=text"

The API, to read and to try: {address}/docs
"""
_GREETING: Final = """\
Verbatim listens on {address}. Every request needs a token: `verbatim token create` makes one for a service,
`verbatim token dev` one for a person, where an issuer with a secret is configured.

The API, to read and to try: {address}/docs
"""


def leave_in_order() -> None:
    """Let SIGTERM and SIGINT end this process the ordinary way, through whatever has to be put away.

    Uvicorn finishes its requests and then sends itself the signal again; without this, it would end there and then.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    _TOLD.set()
    sys.exit(0)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections; raises SetupError when the address is not to be had.

    At `::` it takes those of IPv4, too, whatever the operating system's default is.
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
    """Tell whether ``host`` means this machine and nothing else; one that is no address at all passes, too."""
    if not host:
        return False
    try:
        found = {str(address[4][0]).partition("%")[0] for address in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return True  # `listen` says it better
    return all(ip_address(address).is_loopback for address in found)


def greeting(listener: socket.socket, *, local_only: bool) -> str:
    """Return what to tell whoever started the service."""
    host, port = listener.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return (_LOCAL_GREETING if local_only else _GREETING).format(address=address)


def run(
    listener: socket.socket, workers: int, limits: Limits, *, shutdown_timeout: int, keep_alive_timeout: int
) -> None:
    """Serve until a signal ends it, as the environment describes.

    ``limits`` are those of each worker, the time-outs are in seconds. Raises the limit of open files.
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
        proxy_headers=False,  # `app` knows which proxies are to be believed
        timeout_keep_alive=keep_alive_timeout,
        timeout_graceful_shutdown=shutdown_timeout,
    )
    if _TOLD.is_set():
        return
    if workers == 1:
        uvicorn.Server(config).run(sockets=[listener])
        return
    with tempfile.TemporaryDirectory(prefix="verbatim-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        _Supervisor(config, sockets=[listener]).run()


class _Supervisor(Multiprocess):
    """Uvicorn's, but patient with workers that come up, and without being deaf to signals while it is."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self._heard: dict[int | None, float] = {}  # when each worker last answered, or was first asked

    def keep_subprocess_alive(self) -> None:
        for place, worker in enumerate(self.processes):
            if self._is_well(worker):
                continue
            worker.kill()
            worker.join()
            self._heard.pop(worker.pid, None)
            if worker.exitcode == STARTUP_FAILURE:  # the next would fail alike
                self.should_exit.set()
                return
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    def _is_well(self, worker: Process) -> bool:
        if not worker.process.is_alive():
            return False
        now = time.monotonic()
        if worker.ping(_TURN):
            self._heard[worker.pid] = now
        return now - self._heard.setdefault(worker.pid, now) < _PATIENCE
