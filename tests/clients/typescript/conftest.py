"""The TypeScript package, built once for a run."""

import fcntl
from pathlib import Path

import pytest

from tests.clients.typescript.npm import NPM, PACKAGE, run


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder of the package, with its tools installed from the lock and `dist` built."""
    with (PACKAGE / ".gitignore").open() as lock:  # another process of this run may be at it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_installed():
            run(*NPM, "ci", "--ignore-scripts", "--silent")
        run(*NPM, "run", "build", "--silent")
    return PACKAGE


def _is_installed() -> bool:
    installed = PACKAGE / "node_modules" / ".package-lock.json"
    return installed.is_file() and installed.stat().st_mtime >= (PACKAGE / "package-lock.json").stat().st_mtime
