"""The TypeScript package, built once for a run."""

from pathlib import Path

import pytest

from tests.clients.typescript.npm import NPM, PACKAGE, installed, run


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder of the package, with its tools installed from the lock and `dist` built."""
    with installed(PACKAGE):
        run(*NPM, "run", "build", "--silent")
    return PACKAGE
