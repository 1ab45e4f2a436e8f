"""PostgreSQL's client programs, which no part of the service needs."""

import os
import shutil
from pathlib import Path

from backend.embedded_postgres import find_binaries


def find_tool(name: str) -> Path | None:
    """Return the program of that name (say `pgbench`) from the server's installation, else from the PATH."""
    folders = os.pathsep.join([str(find_binaries().folder), os.environ.get("PATH", "")])
    found = shutil.which(name, path=folders)
    return Path(found) if found else None
