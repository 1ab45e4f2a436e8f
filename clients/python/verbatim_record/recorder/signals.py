"""A handler of SIGTERM that flushes the recorders' queues to disk before the process ends.

It is installed only if the program has no handler of its own: a program or framework with one will leave the recorder's
block, which does the same and more. After the flush the process still ends by the signal.
"""

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from types import FrameType
from typing import Final
from weakref import WeakKeyDictionary

FLUSH_SECONDS: Final = 1.0  # seconds for all flushes together

_FLUSHES: Final[WeakKeyDictionary[object, Callable[[], Future[None]]]] = WeakKeyDictionary()


def guard(recorder: object, flush: Callable[[], Future[None]]) -> None:
    """Call ``flush`` on SIGTERM, until `unguard`; it returns a future. Only the main thread installs the handler."""
    _FLUSHES[recorder] = flush
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def unguard(recorder: object) -> None:
    """Stop flushing ``recorder``, and restore the default handler if it was the last one."""
    _FLUSHES.pop(recorder, None)
    if (
        not _FLUSHES
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is _end
    ):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    flushes = []
    for flush in [*_FLUSHES.values()]:
        with suppress(Exception):  # the others are flushed and the process ends in any case
            flushes.append(flush())
    wait(flushes, FLUSH_SECONDS)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
