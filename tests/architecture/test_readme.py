"""The README is tested: what it names exists, what exists it names, and what it tells people to type works."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from backend.cli import app as commands
from backend.settings import PREFIX, Settings
from tests.architecture.test_openapi import operations
from tests.conftest import serving

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_every_setting_is_in_the_readme_with_its_default_and_no_other() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", README, re.MULTILINE))
    fields = {
        "DATABASE_URL" if name == "database_url" else PREFIX + name.upper(): field.default
        for name, field in Settings.model_fields.items()
    }
    assert rows.keys() == fields.keys()
    for name, default in fields.items():
        if name not in {"DATABASE_URL", "VERBATIM_DATA_DIR"}:
            assert rows[name] == f"`{int(default) if isinstance(default, float) else default}`"


def test_every_command_is_in_the_readme_and_no_other() -> None:
    described = set(re.findall(r"^\| `verbatim (\w+)", README, re.MULTILINE))
    assert described == set(get_command(commands).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name, _ in operations()])
def test_every_route_is_shown_in_the_readme(name: str) -> None:
    method, path = name.split()
    pattern = path.removeprefix("/api/v1").replace("{conversation_id}", "$id")
    shown = [line for block in blocks("sh") for line in re.split(r"\n(?=curl)", block) if f"$A{pattern}" in line]
    verb = {"GET": r"^(?!.*(-d|-X))", "POST": "-d '", "PATCH": "-X PATCH", "DELETE": "-X DELETE"}[method]
    assert any(re.search(verb, line) for line in shown), name


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_what_the_readme_tells_people_to_type_works(database_url: str) -> None:
    script = "\n".join(block for block in blocks("sh") if "curl" in block)
    with serving(database_url) as address:
        typed = script.replace("http://127.0.0.1:8000", address)
        done = subprocess.run(["bash", "-eu", "-c", typed], capture_output=True, text=True, timeout=30, check=True)
    answers = done.stdout
    assert "user: Remind me to call the dentist tomorrow at nine." in answers
    assert '"client_sequence":2' in answers
    assert '"pointer":"/messages/1/content"' in answers
    assert "> Remind me to call the dentist tomorrow at nine\\." in answers
    assert answers.count("/problems/") == 2
    assert '"pointer":"/conversation_id","detail":"is required"' in answers
