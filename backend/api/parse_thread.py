"""Parsing of request bodies: small ones in the event loop, large ones in one thread, so that none blocks the loop.

The cost of a body is estimated before it is parsed. Nearly all of the processor time goes into the values of the JSON,
so the marks that begin or separate values (``,``, ``[`` and ``{``) give an upper bound. Measured with the worst bodies
of the tests (objects of one field, floats of 40 digits, texts of lone surrogates): at most 5 µs a mark, and 16 ms a
MiB.

A body that may cost more than INLINE_COST is parsed in the thread. Threads share the interpreter's lock (GIL), so a
single call into C (`json.loads`, Pydantic's list of errors) still blocks the event loop: with MAX_MARKS none takes
more than 35 ms, and a whole body at most 250 ms. Python code in the thread releases the lock after the switch interval
(`app`).

Marks inside strings do not count as values: the result of a function is often JSON text of a MiB. So if a body has more
than MAX_MARKS, the thread counts again without the strings. Both counts go over the body in pieces and end beyond
MAX_MARKS, so that a body of two MiB that is refused for its values costs as little as its beginning.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Final, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

from backend.errors import Busy

MAX_MARKS: Final = 50_000  # 500 messages with 100 values each; a payload of 64 KiB cannot hold so many
# Costs are estimates of processor time in microseconds; whole numbers, so that a sum returns to exactly 0.
INLINE_COST: Final = 4_000  # measured: 1 to 2 ms, as long as twenty posts of a message, and less than a commit
MAX_WAITING: Final = 4_000_000  # of all subjects; the estimate is two to four times the measured time
MAX_WAITING_PER_SUBJECT: Final = MAX_WAITING // 4  # of one subject, so that it leaves room for the others
_COST_OF_MARK: Final = 5
_BYTES_OF_MICROSECOND: Final = 64  # 16 ms a MiB
_MARKS: Final = (b",", b"[", b"{")
_PIECE: Final = 2**16  # bytes, which take 0.6 ms at the most; between two pieces the thread releases the lock

ParsedT = TypeVar("ParsedT")


class _Thread:
    """One thread that parses bodies, and the cost of the bodies that wait for it, by subject."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._waiting = Counter[str | None]()

    async def run(self, read: Callable[[bytes], ParsedT], body: bytes, subject: str | None, cost: int) -> ParsedT:
        """Return ``read(body)``; raises what `parsed` raises."""
        if self._waiting[subject] > MAX_WAITING_PER_SUBJECT or self._waiting.total() > MAX_WAITING:
            raise Busy("Too many large bodies are waiting to be parsed")
        self._waiting[subject] += cost
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, copy_context().run, read, body)
        finally:
            self._waiting[subject] -= cost
            if not self._waiting[subject]:
                del self._waiting[subject]


_THREAD: Final = _Thread()


async def parsed(request: Request, read: Callable[[bytes], ParsedT], body: bytes) -> ParsedT:
    """Return ``read(body)``, run in the thread if it would block the event loop.

    Raises what ``read`` raises, HTTPException 413 beyond MAX_MARKS, and Busy when the waiting bodies exceed
    MAX_WAITING, or those of the caller's subject MAX_WAITING_PER_SUBJECT.
    """
    marks = _marks(_pieces(body))
    cost = min(marks, MAX_MARKS) * _COST_OF_MARK + len(body) // _BYTES_OF_MICROSECOND
    if cost <= INLINE_COST:
        return read(body)
    if marks > MAX_MARKS:
        read = partial(_limited, read)
    return await _THREAD.run(read, body, request.state.principal.subject, cost)


def _limited(read: Callable[[bytes], ParsedT], body: bytes) -> ParsedT:
    if _marks(without_strings(body)) > MAX_MARKS:
        raise HTTPException(413)
    return read(body)


def _marks(pieces: Iterable[bytes]) -> int:
    """Return the number of marks in ``pieces``, or some number above MAX_MARKS."""
    marks = 0
    for piece in pieces:
        marks += sum(map(piece.count, _MARKS))
        if marks > MAX_MARKS:
            break
    return marks


def _pieces(body: bytes) -> Iterator[bytes]:
    """Yield ``body`` in pieces, none of which ends between a backslash and the character that it escapes."""
    start = 0
    while start < len(body):
        piece = body[start : start + _PIECE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = body[start : start + _PIECE + 1]
        yield piece
        start += len(piece)


def without_strings(body: bytes) -> Iterator[bytes]:
    """Yield the pieces of the JSON in ``body`` without the text inside its strings, in linear time for any input.

    In valid JSON a backslash occurs only inside a string, and begins an escape of two characters. Once the escaped
    backslashes and then the escaped quotes are removed, the strings are every second part between the quotes. The same
    is true of invalid JSON up to its first error, where every parser stops.
    """
    inside = 0
    for piece in _pieces(body):
        parts = piece.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        yield b"".join(parts[inside::2])
        inside ^= (len(parts) - 1) % 2
