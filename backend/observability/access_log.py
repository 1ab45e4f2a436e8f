"""The access log: one line for each request, in the JSON format of `logs`.

structlog takes 50 µs for a line, a quarter of a whole post. So lines are built as bytes here, in about 1 µs each, and
all lines of one iteration of the event loop are written together.
"""

import asyncio
import atexit
import math
import os
import select
import time
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Final

import orjson

from backend.observability.logs import STDOUT

SLOW_SECONDS: Final = 0.25  # inclusive; so long a request counts as running (`request_queue.MAX_TURN`)
FAILED: Final = 400  # the lowest status that is an error
NO_RESPONSE: Final = 0  # instead of a status, if the client disconnected before its response began


class AccessLogChoice(StrEnum):
    """The requests that are logged."""

    ALL = "all"
    SLOW = "slow"  # those of SLOW_SECONDS or more, and those of ERRORS
    ERRORS = "errors"  # those with a status of FAILED or more, and those with NO_RESPONSE
    NONE = "none"


class AccessLog:
    """Writes the lines of the requests that ``choice`` names to standard output.

    The lines of an iteration of the event loop are written at its end, or when the interpreter exits, for whatever
    reason. If the process is killed or crashes, those of its last iteration are lost. Most of the responses that these
    lines are about have not been sent either.
    """

    def __init__(self, choice: AccessLogChoice) -> None:
        self._logs_errors = choice is not AccessLogChoice.NONE
        self._least = {AccessLogChoice.ALL: 0.0, AccessLogChoice.SLOW: SLOW_SECONDS}.get(choice, math.inf)
        self._lines: list[bytes] = []
        atexit.register(self.flush)

    def note(self, method: str, route: str, status: int, seconds: float, request_id: str) -> None:
        """Log a request; ``method`` and ``route`` are of a bounded number, and ``request_id`` is hexadecimal."""
        if seconds < self._least and not (self._logs_errors and (status >= FAILED or status == NO_RESPONSE)):
            return
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        second, rest = divmod(time.time_ns(), 1_000_000_000)
        self._lines.append(
            b'%b%.2f,"event":"request","request_id":"%b","level":"info","timestamp":"%b.%06dZ"}\n'
            % (_beginning(method, route, status), seconds * 1000, request_id.encode(), _date(second), rest // 1000)
        )

    def flush(self) -> None:
        """Write the lines that are not written yet."""
        lines, self._lines = self._lines, []
        for piece in _pieces(lines):
            _write(piece)


@lru_cache(1024)
def _beginning(method: str, route: str, status: int) -> bytes:
    return orjson.dumps({"method": method, "route": route, "status": status})[:-1] + b',"ms":'


@lru_cache(2)
def _date(second: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join ``lines`` to pieces that the system writes to a pipe as a whole, so that lines of workers do not mix."""
    piece = b""
    for line in lines:
        if len(piece) + len(line) > select.PIPE_BUF:
            yield piece
            piece = b""
        piece += line
    if piece:
        yield piece


def _write(piece: bytes) -> None:
    while piece:
        piece = piece[os.write(STDOUT, piece) :]
