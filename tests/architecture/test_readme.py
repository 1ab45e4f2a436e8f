"""The README is tested: what it names exists, what exists it names, and what it tells people to type works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from typer.main import get_command

from backend.auth import Issuer
from backend.cli import app as commands
from backend.settings import PREFIX, Settings
from tests.architecture.test_openapi import operations
from tests.conftest import serving
from tests.installed import program
from tests.orchestrator_stand_in import SECRET

README = (Path(__file__).parents[2] / "README.md").read_text()


_BEFORE, _TITLE, _AFTER = README.partition("\n## Who may do what\n")
TOKENS, _NEXT, _REST = _AFTER.partition("\n## ")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_setting_is_in_the_readme_with_its_default_and_no_other() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", README, re.MULTILINE))
    fields = {
        "DATABASE_URL" if name == "database_url" else PREFIX + name.upper(): field.default
        for name, field in Settings.model_fields.items()
    }
    assert rows.keys() == fields.keys()
    for name, default in fields.items():
        if name != "VERBATIM_DATA_DIR":
            assert rows[name] == _written(default)


def _written(default: object) -> str:
    match default:
        case None:
            return "none"
        case ():
            return "`[]`"
        case float():
            return f"`{int(default)}`"
    return f"`{default}`"


def test_every_command_is_in_the_readme_and_no_other() -> None:
    described = set(re.findall(r"^\| `verbatim (\w+)", README, re.MULTILINE))
    assert described == set(get_command(commands).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name, _ in operations()])
def test_every_route_is_shown_in_the_readme(name: str) -> None:
    method, path = name.split()
    pattern = path.removeprefix("/api/v1").replace("{conversation_id}", "$id").replace("{session_id}", "$session")
    pattern = pattern.replace("{delivery_id}", "$delivery")
    shown = [line for block in blocks("sh") for line in re.split(r"\n(?=curl)", block) if f"$A{pattern}" in line]
    verb = {
        "GET": r"^(?!.*(-d|-X))",
        "POST": "-d '|-X POST",
        "PATCH": "-X PATCH",
        "PUT": "-X PUT",
        "DELETE": "-X DELETE",
    }[method]
    assert any(re.search(verb, line) for line in shown), name


def test_what_the_readme_tells_people_to_type_works(database_url: str) -> None:
    script = "\n".join(block for block in blocks("sh", _BEFORE) if "curl" in block)
    nobody = {"VERBATIM_ORCHESTRATOR_URL": "http://127.0.0.1:9/hook", "VERBATIM_ORCHESTRATOR_PRIVATE": "true"}
    with serving(database_url, **nobody, VERBATIM_ORCHESTRATOR_SECRETS=f'["{SECRET}"]') as address:
        answers = _type(script.replace("http://127.0.0.1:8000", address))
    assert "user: Remind me to call the dentist tomorrow at nine." in answers
    assert '"client_sequence":2' in answers
    assert '"pointer":"/messages/1/content"' in answers
    assert "> Remind me to call the dentist tomorrow at nine\\." in answers
    assert answers.count("/problems/") == 3
    assert "event: message\ndata: {" in answers
    assert answers.count('"type":"intent.extracted","state":"pending"') == 3
    assert '{"failed":0,"held":0}' in answers
    assert '"missing":[[3,3],[5,5]],"duplicates":0,"last_sequence":2' in answers
    assert '"pointer":"/conversation_id","detail":"is required"' in answers


def test_what_the_readme_says_of_tokens_works(database_url: str) -> None:
    configure, use, services = blocks("sh", TOKENS)
    configure = configure.replace("make run", 'echo "$VERBATIM_AUTH_ISSUERS"')
    token, _, issuers = _type(configure, database_url).partition("\n")
    with serving(database_url, VERBATIM_AUTH_ISSUERS=issuers) as address:
        answers = _type(use.replace("http://127.0.0.1:8000", address).replace("…", token, 1))
    assert "user: Only I read this." in answers
    assert "HTTP/1.1 401" in answers
    assert 'www-authenticate: Bearer realm="verbatim"\n' in answers.replace("\r", "")

    typed = _type(services, database_url)
    assert re.search(r"^vbt_[\w-]{43}$", typed, re.MULTILINE)
    assert "orchestrator" in typed
    assert "is revoked" in typed


def test_the_issuers_in_the_readme_can_be_configured() -> None:
    [example] = blocks("json", TOKENS)
    assert TypeAdapter(tuple[Issuer, ...]).validate_json(example)


def _type(script: str, database_url: str | None = None) -> str:
    """Return what a person sees who types ``script``."""
    program("curl", "curl")
    typed = script.replace(".venv/bin/verbatim", f"{sys.executable} -m backend")
    environment = os.environ | ({"DATABASE_URL": database_url} if database_url else {})
    done = subprocess.run(
        ["bash", "-eu", "-c", typed], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout
