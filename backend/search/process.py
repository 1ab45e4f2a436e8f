"""The search worker as a process of its own: while many messages come in, it must not take the time of requests.

The process that serves starts it, hands it the advisory lock, and works itself again when it has ended. It ends when
few messages have come in for `_QUIET` seconds, and as soon as the process that serves is gone: it then reads the end of
its standard input. It gets the database's URL there, because other users of the machine can read a command line.
"""

import asyncio
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Final

import orjson
import structlog

from backend.dao_service.connection.database import Database, PoolLimits
from backend.dao_service.connection.priority import lower_priority
from backend.dao_service.connection.sqlstate import describe
from backend.observability import logs
from backend.search import indexer

_FEW: Final = 100.0  # new messages a second
_QUIET: Final = 30.0  # seconds with fewer
_POLL: Final = 0.2  # seconds between two looks, because no wake-up reaches this process
_PATIENCE: Final = 30.0  # seconds to wait for the lock
_NICENESS: Final = 19  # of it and of PostgreSQL's process for it: requests come first if processors are scarce
_RESPITE: Final = 60.0  # seconds until the next attempt if the process cannot be started

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """What the process must know: the URLs of the database as in `Database`, its time-out, and the level of logs."""

    url: str
    direct: str | None
    statement: float
    log_level: str

    async def work(self) -> None:
        """Run the process until it ends; when this is cancelled, kill it."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                __name__,
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,
                # It counts nothing, and would be taken for a process that serves.
                env={name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"},
            )
        except OSError as error:
            log.warning("the search worker cannot have a process of its own", **describe(error))
            await asyncio.sleep(_RESPITE)
            return
        assert process.stdin  # noqa: S101 -- a pipe was asked for
        try:
            process.stdin.write(orjson.dumps(asdict(self)) + b"\n")
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            process.stdin.close()


async def _work(settings: WorkerProcess) -> None:
    database = Database(settings.url, PoolLimits(statement=settings.statement), direct=settings.direct)
    busy_at = time.monotonic()
    async for rate in indexer.rounds(database, asyncio.Event(), _POLL, patience=_PATIENCE, niceness=_NICENESS):
        if rate > _FEW:
            busy_at = time.monotonic()
        elif time.monotonic() - busy_at > _QUIET:
            break


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Work in this process, with the settings that its standard input begins with."""
    settings = WorkerProcess(**orjson.loads(sys.stdin.buffer.readline()))
    lower_priority(os.getpid(), _NICENESS)
    logs.configure(settings.log_level)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        asyncio.run(_work(settings))
    except Exception as error:  # noqa: BLE001 -- the process that serves goes on
        log.warning("the search worker has stopped; it tries again", **describe(error))


if __name__ == "__main__":
    main()
