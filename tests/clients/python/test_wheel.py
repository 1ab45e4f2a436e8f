"""The package works alone: its wheel, in an empty environment, with nothing beside it but what a registry holds."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from tests.conftest import serving
from tests.documentation import ROOT, blocks

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
MEGABYTE = 2**20
FOREIGN = {"fastapi", "starlette", "sqlalchemy", "asyncpg", "pydantic", "structlog", "backend"}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=ALONE, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what it depends on, in the versions of our lock."""
    folder = tmp_path_factory.mktemp("alone")
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT / "clients/python", cwd=folder)
    [wheel] = folder.glob("*.whl")
    pins = re.findall(r"^[\w.-]+==[^ ;\\]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    (folder / "pins.txt").write_text("\n".join(pins))
    run(sys.executable, "-m", "venv", "--without-pip", "env", cwd=folder)
    interpreter = folder / "env/bin/python"
    run(*PIP, "--python", interpreter, "install", "--constraint", "pins.txt", wheel, cwd=folder)
    return interpreter


def installed(python: Path) -> Sequence[Path]:
    return [path for path in python.parents[1].rglob("*") if path.is_file() and not path.is_symlink()]


def test_the_environment_is_small_and_holds_nothing_of_the_service(python: Path) -> None:
    assert sum(path.stat().st_size for path in installed(python)) < 15 * MEGABYTE
    [packages] = python.parents[1].glob("lib/*/site-packages")
    assert FOREIGN & {path.name for path in packages.iterdir()} == set()
    assert (packages / "verbatim_record" / "py.typed").exists()


def test_it_can_be_imported_whole(python: Path, tmp_path: Path) -> None:
    run(python, "-W", "error", "-c", "from verbatim_record import *", cwd=tmp_path)


def test_the_first_example_of_the_page_for_pipelines_records(python: Path, database_url: str, tmp_path: Path) -> None:
    example = blocks("docs/pipeline.md", "python")[0].text
    with serving(database_url) as address, httpx.Client(base_url=f"{address}/api/v1", trust_env=False) as service:
        conversation = service.post("/conversations", json={"context_type": "voice"}).json()["id"]
        body = re.sub(r"^", "    ", example.replace("http://127.0.0.1:8000", address), flags=re.MULTILINE)
        program = (
            f'import asyncio\nconversation_id = "{conversation}"\nasync def talk():\n{body}\nasyncio.run(talk())\n'
        )
        run(python, "-W", "error", "-c", program, cwd=tmp_path)
        transcript = service.get(f"/conversations/{conversation}/transcript", params={"format": "text"}).text
    assert transcript.endswith("user: Remind me to call the dentist.\n")
