"""Hearing that the process is to end, before whoever ends it waits for what is still under way."""

import asyncio
import ctypes
import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


@contextmanager
def told_to_end(farewell: Callable[[], None]) -> Iterator[None]:
    """Call ``farewell`` in the event loop as soon as a signal ends the process; what the signal does besides stays.

    A server waits for its answers to be complete, and those that go on for ever must be told to come to an end.
    Outside the main thread, where Python hears no signals, it is not called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def heard(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(farewell)
        earlier = before[signal.Signals(number)]
        if callable(earlier):
            earlier(number, frame)

    for number, earlier in before.items():
        if callable(earlier):
            signal.signal(number, heard)
    try:
        yield
    finally:
        for number, earlier in before.items():
            if signal.getsignal(number) is heard:
                signal.signal(number, earlier)


def leave_with_supervisor() -> None:
    """End this worker process when its supervisor ends, however that ends; elsewhere than in a worker do nothing.

    A worker that outlived its supervisor would keep the port, and no other service could listen on it. On Linux the
    kernel kills the worker, so it need not run any code for it: a thread of its own waits for the interpreter's lock
    as long as another one holds that. What was acknowledged is committed, so SIGKILL loses nothing of it.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    if sys.platform == "linux":
        _die_with_parent(supervisor.pid)
    else:
        threading.Thread(target=_end_after, args=(supervisor,), name="supervisor", daemon=True).start()


def _die_with_parent(parent: int | None) -> None:
    """Let the kernel send SIGKILL when the thread that started this process ends: the supervisor's main thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it ended before the kernel was told
        os.kill(os.getpid(), signal.SIGKILL)


def _end_after(supervisor: multiprocessing.process.BaseProcess) -> None:
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)
