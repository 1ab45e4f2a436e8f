"""The supervisor of several worker processes."""

import socket
import time
from typing import Final
from weakref import WeakKeyDictionary

import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from backend.shutdown import SIGNALS

# Seconds after which the supervisor kills a worker that does not answer its pings. A worker answers once its modules
# are imported. On a busy machine that takes longer than Uvicorn's 5 s, after which it would kill each worker again.
_HUNG_SECONDS: Final = 30
_PING_TIMEOUT: Final = 0.2  # seconds for one ping, before the supervisor pings the next worker and looks for signals

log = structlog.get_logger(__name__)


class Supervisor(Multiprocess):
    """Uvicorn's supervisor, but it handles signals while a worker is slow to answer, and logs each worker that ends.

    Uvicorn's own waits until the timeout of a ping, also if the worker has died or is still starting.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.failed = False  # a worker could not start
        # When each worker last answered a ping, or was first pinged.
        self._answered: WeakKeyDictionary[Process, float] = WeakKeyDictionary()

    def keep_subprocess_alive(self) -> None:
        """Replace each worker that has died or hung; Uvicorn calls this again and again."""
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
