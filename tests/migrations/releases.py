"""Releases of Verbatim, each in a folder of its own: the last one before 0.2.0 from git, this one, and a next one.

All run with this interpreter. A next release is a copy of this one with one more revision.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import dedent, indent

import pytest

from backend.dao_service.schema_revision import SCHEMA_REVISION
from backend.migrations import runner
from backend.migrations.compatibility import LAST_BEFORE_0_2_0
from tests.conftest import serving

ROOT = Path(__file__).parents[2]
NEXT = f"{int(SCHEMA_REVISION) + 1:04}"
RUNS_FROM = runner.compatible_from(runner.scripts(), SCHEMA_REVISION)  # the oldest whose code runs on this schema

_REVISION = '''\
"""A revision of a test."""

import verbatim_steps as steps
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None
{declared}

def upgrade() -> None:
{upgrade}


def downgrade() -> None:
{downgrade}
'''


@dataclass(frozen=True)
class Release:
    """``folder`` holds `backend` and `alembic`."""

    folder: Path

    async def run(self, url: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `verbatim`, and return how it ended."""
        command = [sys.executable, "-m", "backend", *words]
        environment = os.environ | self._environment() | {"DATABASE_URL": url}
        return await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    async def migrate(self, url: str, *words: str) -> str:
        """Run `verbatim migrate`, which must succeed, and return what it has printed."""
        ended = await self.run(url, "migrate", *words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    @contextmanager
    def serving(self, url: str, *options: str) -> Iterator[str]:
        """Run `verbatim serve`, and give its address once it has started."""
        with serving(url, *options, **self._environment()) as address:
            yield address

    def _environment(self) -> dict[str, str]:
        # Without the second, Python would find the working directory's `backend` first.
        return {"PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}


def before_0_2_0(folder: Path) -> Release:
    """Export the last commit before release 0.2.0 to ``folder``; skips the test where git does not have it."""
    command = ["git", "-C", str(ROOT), "archive", LAST_BEFORE_0_2_0, "backend", "alembic"]
    try:
        archive = subprocess.run(command, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"git has no commit {LAST_BEFORE_0_2_0} here: clone the repository, or `git fetch --unshallow`.")
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return Release(folder)


def next_release(folder: Path, upgrade: str, downgrade: str, *, compatible_from: str | None = None) -> Release:
    """Copy this release to ``folder``, with the revision ``NEXT`` after its own."""
    for name in ("backend", "alembic"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = _REVISION.format(
        revision=NEXT,
        before=SCHEMA_REVISION,
        declared=f'compatible_from = "{compatible_from}"\n' if compatible_from else "",
        upgrade=indent(dedent(upgrade).strip(), "    "),
        downgrade=indent(dedent(downgrade).strip(), "    "),
    )
    (folder / "alembic" / "versions" / f"{NEXT}_of_a_test.py").write_text(text)
    models = folder / "backend" / "dao_service" / "schema_revision.py"
    ours, theirs = (f'SCHEMA_REVISION: Final = "{revision}"' for revision in (SCHEMA_REVISION, NEXT))
    assert ours in models.read_text()
    models.write_text(models.read_text().replace(ours, theirs))
    return Release(folder)
