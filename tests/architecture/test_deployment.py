"""No Docker engine runs in the tests; what can be held against the rest of the repository without one is."""

import re
from pathlib import Path

import yaml

from backend.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_only_the_service_can_be_reached_and_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in COMPOSE.items() if "ports" in service}
    assert published == {"verbatim": ["127.0.0.1:8000:8000"]}


def test_the_service_starts_after_its_schema_and_that_after_its_database() -> None:
    assert COMPOSE["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert COMPOSE["verbatim"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert COMPOSE["postgres"]["image"] == "postgres:18"
    assert COMPOSE["postgres"]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    assert COMPOSE["migrate"]["restart"] == "no"


def test_the_image_is_built_from_the_pins_and_runs_as_nobody_in_particular() -> None:
    assert "--require-hashes --requirement requirements.lock" in DOCKERFILE
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.count("FROM python:3.11-slim") == 2
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists()
            assert f"!{name.removeprefix('./')}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_every_setting_that_the_image_and_compose_name_exists() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", DOCKERFILE + (ROOT / "docker-compose.yml").read_text()))
    assert named <= known


def test_the_pins_carry_hashes_and_no_address() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        pins = re.findall(r"^(\S+==\S+).*\\\n    --hash=sha256:", text, re.MULTILINE)
        assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
        assert not re.search(r"://|--index|--find", text)
