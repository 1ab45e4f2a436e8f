"""One `initdb` for a whole run: the files of a stopped server with our schema, copied for each server of a test."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner

_MEMORY: Final = Path("/dev/shm")  # a file system in memory, which Linux has
_ROOM: Final = 4 * 2**30  # bytes that must be free there; a container may have 64 MiB in all
_OURS: Final = f"verbatim-tests-{os.getuid()}"

_RUN: Final[list[Path]] = []  # the folder of the run, if pytest runs


def share(factory: pytest.TempPathFactory, *, in_worker: bool) -> None:
    """Keep the files in the folder of the run, which all workers of pytest-xdist share."""
    base = factory.getbasetemp()
    _RUN[:] = [base.parent if in_worker else base]


@contextmanager
def folder_in_memory(otherwise: Path) -> Iterator[Path]:
    """Yield a folder in memory, where a database is cloned in half the processor time, or ``otherwise``."""
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM:
        yield otherwise
        return
    with (_MEMORY / f"{_OURS}.lock").open("w") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        _remove_what_killed_runs_left()
        folder = Path(mkdtemp(prefix=f"{_OURS}-", dir=_MEMORY))
        in_use = (folder / "lock").open("w")
        fcntl.flock(in_use, fcntl.LOCK_EX)
    with in_use:
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def _remove_what_killed_runs_left() -> None:
    for folder in _MEMORY.glob(f"{_OURS}-*"):
        with suppress(OSError), (folder / "lock").open("w") as in_use:
            fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


def prepare(folder: Path) -> Path:
    """Return ``folder``, where an ``EmbeddedPostgres`` finds a cluster whose database has our schema.

    Without pytest, as in `make bench`, nothing is copied: the server makes its cluster itself.
    """
    for run in _RUN:
        shutil.copytree(_made_in(run), folder, dirs_exist_ok=True)
    return folder


def _made_in(run: Path) -> Path:
    """Return the files, which the first process that asks makes while the others wait."""
    made = run / "cluster"
    with (run / "cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            draft = run / "cluster.new"
            with EmbeddedPostgres(draft, durable=False) as server:
                runner.upgrade(server.url)
            [data] = draft.glob("postgresql-*/data")
            for other in data.parent.iterdir():
                if other != data:
                    other.unlink()  # locks and logs of the server that made it
            draft.rename(made)
    return made
