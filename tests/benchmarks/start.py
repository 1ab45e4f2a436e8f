"""How soon `verbatim --help` answers and `verbatim serve` is ready, and how much memory its one worker has.

    python -m tests.benchmarks.start [--replay FILE]

The service starts on data that is there, with its own PostgreSQL. ``FILE`` is one that `verbatim replay` reads. Some
packages for development are imported where they are installed: with them it takes 0.1 s and 2 MB more.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import psutil
from rich.console import Console

from tests.ports import free_ports

_STARTS: Final = 5
_PATIENCE: Final = 60.0  # seconds
_READY: Final = 1.0  # seconds; the bar of `verbatim serve`
_HELP: Final = 0.4  # seconds; the bar of `verbatim --help`
_MEMORY: Final = 90.0  # MB; the bar of a worker
_VERBATIM: Final = [sys.executable, "-m", "backend"]


@contextmanager
def _served(folder: Path) -> Iterator[tuple[psutil.Process, str, float]]:
    """Run the service on the data in ``folder``; yield its process, its address, and the seconds until it was ready."""
    [port] = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    settings = os.environ | {"VERBATIM_DATA_DIR": str(folder), "VERBATIM_RATE_LIMIT_ADDRESS": "1000000000/minute"}
    settings.pop("DATABASE_URL", None)
    begun = time.perf_counter()
    with (folder / "log").open("wb") as log, httpx.Client(trust_env=False) as client:
        command = [*_VERBATIM, "serve", "--port", str(port)]
        with subprocess.Popen(command, env=settings, stdout=log, stderr=log) as process:
            try:
                while not _is_ready(client, address):
                    assert time.perf_counter() - begun < _PATIENCE, (folder / "log").read_text()
                    time.sleep(0.005)
                yield psutil.Process(process.pid), address, time.perf_counter() - begun
            finally:
                process.terminate()


def _is_ready(client: httpx.Client, address: str) -> bool:
    try:
        return client.get(f"{address}/readyz").is_success
    except httpx.TransportError:
        return False


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


def _help_seconds() -> float:
    begun = time.perf_counter()
    subprocess.run([*_VERBATIM, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> int:
    """Measure and print; return 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replay", type=Path, help="a file of recorded event streams, for the memory after it")
    options = parser.parse_args()
    found = [("verbatim --help, s", _HELP, statistics.median(_help_seconds() for _ in range(_STARTS)))]
    with tempfile.TemporaryDirectory(prefix="verbatim-start-") as name:
        folder = Path(name)
        with _served(folder):
            pass  # makes the data
        starts = []
        for _ in range(_STARTS):
            with _served(folder) as (process, address, seconds):
                starts.append((seconds, _megabytes(process)))
        found.append(("verbatim serve until ready, s", _READY, statistics.median(seconds for seconds, _ in starts)))
        found.append(("one worker at its start, MB", _MEMORY, statistics.median(memory for _, memory in starts)))
        if options.replay:
            with _served(folder) as (process, address, _):
                subprocess.run([*_VERBATIM, "replay", options.replay, "--url", address], check=True)
                found.append(("one worker after the replay, MB", _MEMORY, _megabytes(process)))
    console = Console(highlight=False)
    for sentence, most, figure in found:
        console.print(f"{'✓' if figure <= most else '✗'} {sentence}: {figure:.2f} (at most {most:g})")
    return 0 if all(figure <= most for _, most, figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
