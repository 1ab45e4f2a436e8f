"""Hearing that the process is to end, before whoever ends it waits for what is still under way."""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


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
    """End this process as SIGTERM would, should the one that began it as its worker be gone.

    A worker that outlived a supervisor that was killed would keep the port, and nobody could take its place.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return

    def watch() -> None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()
