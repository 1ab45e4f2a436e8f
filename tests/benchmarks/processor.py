"""Processor time: it does not depend on what else the machine does, as rates do."""

from contextlib import suppress

import psutil


def processor_seconds(pid: int | None) -> float:
    """Return the processor time of a process and of all that it has started, in seconds; 0 without a process."""
    if pid is None:
        return 0.0
    root = psutil.Process(pid)
    total = 0.0
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # its time is then in that of its parent's children
            total += sum(process.cpu_times()[:4])
    return total
