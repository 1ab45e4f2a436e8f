"""How this process ends: it hears SIGTERM and SIGINT, and a worker ends with its supervisor."""

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

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class Stop:
    """Whether SIGTERM or SIGINT has asked this process to end.

    Python drops an exception that a signal's handler raises inside a finalizer or a weak reference's callback. So the
    handler always sets ``requested``, and what waits or serves looks at it. While the process starts the handler raises
    SystemExit as well, which ends a wait for a database or a migration at once.
    """

    requested = False

    def interrupt(self) -> None:
        """Let a signal raise SystemExit from now on, in the main thread; code 0."""
        self._handle(self._interrupt)

    def note(self) -> None:
        """Let a signal do nothing but set ``requested`` from now on."""
        self._handle(self._note)

    def exit_if_requested(self) -> None:
        """Raise SystemExit with code 0 if a signal has come, because the exit that its handler raised may be lost."""
        if self.requested:
            sys.exit(0)

    def _handle(self, handler: Callable[[int, FrameType | None], None]) -> None:
        for number in SIGNALS:
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        sys.exit(0)


STOP: Final = Stop()


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
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def heard(number: int, frame: FrameType | None) -> None:
        try:
            earlier = before[signal.Signals(number)]
            if callable(earlier):
                earlier(number, frame)
        finally:
            loop.call_soon_threadsafe(farewell)

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
