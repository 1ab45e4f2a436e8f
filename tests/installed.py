"""Programs of the system that a test needs, found or named with the command that installs them."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from backend.embedded_postgres import find_binaries
from tests.lanes import NOT_INSTALLED


def program(name: str, package: str) -> Path:
    """Return where ``name`` is; without it the test is skipped."""
    # What only root is meant to run is not on the path of others.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/bin")
    if found is None:
        skip(name, f"apt-get install {package}")
    return Path(found)


def postgres_tool(name: str) -> Path:
    """Return where ``name`` is, a client program of PostgreSQL's; without it the test is skipped."""
    return find_postgres_tool(name) or skip(name, "apt-get install postgresql")


def find_postgres_tool(name: str) -> Path | None:
    """Return the program ``name``, say `pgbench`, of the server's installation, else from the PATH, or None."""
    folders = os.pathsep.join([str(find_binaries().folder), os.environ.get("PATH", "")])
    found = shutil.which(name, path=folders)
    return Path(found) if found else None


def skip(name: str, command: str) -> NoReturn:
    """Skip the test, or fail it with `--complete`, because ``name`` is missing, which ``command`` installs."""
    pytest.skip(f"{name} {NOT_INSTALLED}{command}`")
