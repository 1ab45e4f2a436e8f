"""Checking request bodies: the cheap ones at once, the costly ones in one thread beside the event loop.

What a body costs is known before it is parsed. Nearly all of the processor time goes into the values of the JSON, so
the marks that begin or separate values (``,``, ``[`` and ``{``) give an upper bound. Measured with the worst bodies
that the tests know (objects of one field, floats of 40 digits, texts of lone surrogates): at most 5 µs a mark, and
16 ms a MiB.

A body that may cost more than INLINE_COST is parsed in the thread. Threads share the interpreter's lock, so a single
call into C (`json.loads`, Pydantic's list of faults) still stops the event loop: with MOST_MARKS none of them takes
more than 35 ms, and a whole body at most 250 ms. Everything else in the thread gives the lock back after 5 ms.

Marks inside strings are no values: the result of a function is often JSON text of a MiB. They make a body go to the
thread, where they are taken out before MOST_MARKS is applied.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

from backend.errors import Busy

MOST_MARKS: Final = 50_000  # 500 messages with 100 values each; a payload of 64 KiB cannot hold so many
# Costs are estimates of processor time in microseconds; whole numbers, so that a sum returns to exactly 0.
INLINE_COST: Final = 4_000  # one to two milliseconds in truth: as long as twenty posts, and less than a commit
MOST_WAITING: Final = 4_000_000  # in all; the estimate is two to four times the truth
MOST_WAITING_OF_ONE: Final = MOST_WAITING // 4  # by one subject, so that a greedy one leaves room for the others
_COST_OF_MARK: Final = 5
_BYTES_OF_MICROSECOND: Final = 64  # 16 ms a MiB
_MARKS: Final = (b",", b"[", b"{")

ParsedT = TypeVar("ParsedT")


class _Thread:
    """One thread that parses, and the cost of what waits for it, by subject."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._waiting = Counter[str | None]()

    async def run(self, read: Callable[[bytes], ParsedT], body: bytes, subject: str | None, cost: int) -> ParsedT:
        """Return ``read(body)``; raises what `parsed` raises."""
        if self._waiting[subject] > MOST_WAITING_OF_ONE or self._waiting.total() > MOST_WAITING:
            raise Busy("Too many large bodies are waiting to be parsed")
        self._waiting[subject] += cost
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, copy_context().run, _limited, read, body)
        finally:
            self._waiting[subject] -= cost
            if not self._waiting[subject]:
                del self._waiting[subject]


_THREAD: Final = _Thread()


async def parsed(request: Request, read: Callable[[bytes], ParsedT], body: bytes) -> ParsedT:
    """Return ``read(body)`` without holding up the event loop.

    Raises what ``read`` raises, HTTPException 413 beyond MOST_MARKS, and Busy when too much work waits already.
    """
    cost = min(_marks(body), MOST_MARKS) * _COST_OF_MARK + len(body) // _BYTES_OF_MICROSECOND
    if cost <= INLINE_COST:
        return read(body)
    return await _THREAD.run(read, body, request.state.principal.subject, cost)


def _limited(read: Callable[[bytes], ParsedT], body: bytes) -> ParsedT:
    if _marks(body) > MOST_MARKS and _marks(without_strings(body)) > MOST_MARKS:
        raise HTTPException(413)
    return read(body)


def _marks(body: bytes) -> int:
    return sum(map(body.count, _MARKS))


def without_strings(body: bytes) -> bytes:
    """Return the JSON in ``body`` without the text inside its strings, in linear time whatever it holds.

    In valid JSON a backslash stands inside a string alone, and begins an escape of two characters. Once the escaped
    backslashes and then the escaped quotes are gone, the strings are every second part between the quotes. Up to its
    first error the same is true of invalid JSON, and no parser goes further.
    """
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # A mark outside strings allows two strings at most, the name and the value of a field: four quotes.
    parts = plain.split(b'"', MOST_MARKS * 4 + 4)
    return b"".join(parts[::2])
