"""The metrics of all workers of one `verbatim serve` together: with several, each writes its own into files."""

import os
from pathlib import Path
from typing import NamedTuple

import psutil
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from backend.observability.processes import WorkerProcesses, worker_ids


class Workers(NamedTuple):
    """The numbers of worker processes, and of the clients that follow at them."""

    workers: int
    followers: int


def registry() -> CollectorRegistry:
    """Return what to collect the metrics of all workers from; collecting reads files, so not on the event loop."""
    folder = _folder()
    if folder is None:
        return REGISTRY
    _forget_the_dead(folder)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    together.register(WorkerProcesses(folder))
    return together


def count() -> Workers:
    """Return how many workers there are; like `registry`, it reads files."""
    followers = int(registry().get_sample_value("verbatim_followers") or 0)
    folder = _folder()
    return Workers(1 if folder is None else len(worker_ids(folder)), followers)


def _folder() -> Path | None:
    """Return the folder of the files, None with one worker, which needs none."""
    named = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(named) if named else None


def _forget_the_dead(folder: Path) -> None:
    """Drop the gauges of workers that were killed, which would count requests that no worker serves any more."""
    for worker in worker_ids(folder):
        if not psutil.pid_exists(worker):
            mark_process_dead(worker)  # type: ignore[no-untyped-call]
