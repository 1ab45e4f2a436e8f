"""Builds the console with the tools of its lock: `python -m tests.console.build` writes what the service serves."""

from pathlib import Path
from typing import Final

from tests.clients.typescript.npm import NODE, NPM, installed, run
from tests.documentation import ROOT

SOURCES: Final = ROOT / "console"
COMMITTED: Final = ROOT / "backend" / "console" / "static"


def check() -> None:
    """Hold the sources against the compiler, and the pure functions against their tests."""
    with installed(SOURCES):
        run(*NPM, "run", "check", "--silent", folder=SOURCES)
        run(*NPM, "run", "test", "--silent", folder=SOURCES)


def build(folder: Path) -> None:
    """Write the console into ``folder``."""
    with installed(SOURCES):
        run(NODE, "--no-warnings", "build.ts", folder, folder=SOURCES)


if __name__ == "__main__":
    check()
    build(COMMITTED)
