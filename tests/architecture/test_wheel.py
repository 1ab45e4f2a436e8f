"""What is built from the repository works without it."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

from backend import __version__, console
from backend.api.swagger_ui import build_hook
from backend.dao_service.schema_revision import SCHEMA_REVISION
from backend.migrations import runner
from tests.description import FILE

ROOT = Path(__file__).parents[2]


def test_a_wheel_migrates_outside_the_checkout_and_carries_nothing_else(
    tmp_path: Path, empty_database_url: str
) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    both = [str(ROOT / "clients" / "python"), str(ROOT)]
    subprocess.run([*build, "--wheel-dir", str(tmp_path), *both], check=True, capture_output=True, timeout=120)
    installed = tmp_path / "installed"
    for wheel in tmp_path.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(installed)
    ours = {"backend", "verbatim_server", "verbatim_record"}
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == ours

    [built] = Distribution.discover(name="verbatim-server", path=[str(installed)])
    assert built.version == __version__

    shipped = {path.name for path in (installed / "backend" / "api" / "swagger_ui").iterdir()}
    assert shipped == build_hook.SUMS.keys()

    shipped = {path.name for path in (installed / "backend" / "console" / "static").iterdir()}
    assert shipped == {path.name for path in console.FILES.iterdir()}

    assert (installed / "backend" / "api" / "openapi.json").read_bytes() == FILE.read_bytes()

    environment = os.environ | {"DATABASE_URL": empty_database_url, "PYTHONPATH": str(installed)}
    where = subprocess.run(
        [sys.executable, "-c", "import backend.migrations.runner as m; print(m.__file__)"],
        cwd=tmp_path, env=environment, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(installed)
    command = [sys.executable, "-m", "backend", "migrate"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
    assert runner.current(empty_database_url) == SCHEMA_REVISION
