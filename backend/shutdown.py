"""Graceful shutdown: a process ends on SIGTERM or SIGINT, and a worker ends when its supervisor does."""

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
    """Whether a SIGTERM or SIGINT has arrived.

    Python drops an exception that a signal handler raises inside a finalizer or a weak reference's callback. So the
    handler always sets ``requested``, and loops check it. While the process starts, the handler also raises SystemExit,
    which ends a wait for a database or a migration at once.
    """

    requested = False

    def interrupt(self) -> None:
        """Make each signal set ``requested`` and raise SystemExit with code 0 in the main thread, from now on."""
        self._handle(self._interrupt)

    def note(self) -> None:
        """Make each signal only set ``requested``, from now on."""
        self._handle(self._note)

    def exit_if_requested(self) -> None:
        """Raise SystemExit with code 0 if a signal has arrived, in case Python dropped the one of its handler."""
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
def on_shutdown(callback: Callable[[], None]) -> Iterator[None]:
    """Call ``callback`` in the event loop on SIGTERM or SIGINT, after the handler that is installed already.

    Uvicorn then waits for open responses to complete. Server-sent event streams never complete by themselves, so the
    callback must end them. Outside the main thread Python delivers no signals, and the callback is not called.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def handler(number: int, frame: FrameType | None) -> None:
        try:
            earlier = before[signal.Signals(number)]
            if callable(earlier):
                earlier(number, frame)
        finally:
            loop.call_soon_threadsafe(callback)

    for number, earlier in before.items():
        if callable(earlier):
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, earlier)


def exit_with_supervisor() -> None:
    """End this worker process when its supervisor ends for any reason; in a process that is no worker, do nothing.

    A worker that outlived its supervisor would keep the port, so that no other service could listen on it. On Linux the
    kernel kills the worker with SIGKILL, because a watching thread of the worker would wait for the interpreter's lock
    (GIL) while another thread holds it. Acknowledged messages are committed, so SIGKILL loses none of them.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    if sys.platform == "linux":
        _die_with_parent(supervisor.pid)
    else:
        threading.Thread(target=_end_after, args=(supervisor,), name="supervisor", daemon=True).start()


def _die_with_parent(parent: int | None) -> None:
    """Make the kernel send SIGKILL when the thread that started this process ends: the supervisor's main thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # the supervisor ended before the call of prctl
        os.kill(os.getpid(), signal.SIGKILL)


def _end_after(supervisor: multiprocessing.process.BaseProcess) -> None:
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)
