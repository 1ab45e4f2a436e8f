"""The metrics `process_*` of every worker, because a single process answers Prometheus's scrape for all of them."""

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class WorkerProcesses(Collector):
    """The memory, processor time and open files of the workers and their supervisor, each with its `pid`.

    The workers are found by their files in ``folder``, the multiprocess directory of prometheus_client.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Return a family for each metric, with a sample for each process; nothing on systems without `/proc`."""
        families: dict[str, Metric] = {}
        for pid in sorted(worker_ids(self._folder) | {os.getppid()}):
            for found in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                family = families.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                for sample in found.samples:
                    family.add_sample(sample.name, {**sample.labels, "pid": str(pid)}, sample.value)
        return families.values()


def worker_ids(folder: Path) -> set[int]:
    """Return the process ids of the workers that have a gauge in ``folder``, also of those that were killed."""
    return {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}
