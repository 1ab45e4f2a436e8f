"""SIGTERM: what is queued is on disk before the process ends.

Only where nobody has decided otherwise: a program or a framework with a handler of its own will leave the recorder's
block, which does the same and more. Nothing of how the process ends is changed by ours: it dies of the signal.
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

FLUSH_SECONDS: Final = 1.0  # seconds for the disk

_FLUSHES: Final[WeakKeyDictionary[object, Callable[[], Future[None]]]] = WeakKeyDictionary()


def guard(recorder: object, flush: Callable[[], Future[None]]) -> None:
    """Have ``flush`` called when the process is told to end."""
    _FLUSHES[recorder] = flush
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def unguard(recorder: object) -> None:
    """Leave the signal as it was, when this was the last."""
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
        with suppress(Exception):  # whatever it is, the others are flushed and the process ends
            flushes.append(flush())
    wait(flushes, FLUSH_SECONDS)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
