"""No Docker engine runs in the tests; what can be checked against the rest of the repository without one is."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from backend.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted(path.name for path in ROOT.glob("requirements*.lock"))

# What a person writes into the file .env.
DOTENV = {
    "POSTGRES_PASSWORD": "0123456789abcdef",
    "AUTH_ISSUER": "https://id.example",
    "AUTH_JWKS_URL": "https://id.example/.well-known/jwks.json",
}
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(:\?(?P<complaint>[^}]+)|:-(?P<default>[^}]*))?\}")


def test_only_the_service_can_be_reached_and_only_from_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"verbatim": ["127.0.0.1:8000:8000"]}


def test_the_database_has_no_way_out_and_only_the_service_has_one_beside_it() -> None:
    assert COMPOSE["networks"]["database"] == {"internal": True}
    attached = {name: service["networks"] for name, service in SERVICES.items()}
    assert attached == {"postgres": ["database"], "migrate": ["database"], "verbatim": ["database", "default"]}


def test_the_service_starts_after_its_schema_and_that_after_its_database() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert SERVICES["verbatim"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert SERVICES["postgres"]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    assert SERVICES["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_has_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+m", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert service["ulimits"]["nofile"] > 0
    assert not service.get("privileged")


def test_no_container_runs_as_root_or_gets_a_capability_back() -> None:
    assert [name for name, service in SERVICES.items() if "cap_add" in service] == []
    # The others are built from the Dockerfile, whose user has a number.
    assert {name: service["user"] for name, service in SERVICES.items() if "build" not in service} == {
        "postgres": "postgres"
    }


def test_what_a_container_may_write_is_in_memory_and_bounded_or_the_databases_volume() -> None:
    for service in SERVICES.values():
        for mounted in service["tmpfs"]:
            assert re.fullmatch(r"/[a-z/]+:size=\d+m", mounted)
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert not any("volumes" in SERVICES[name] for name in ("migrate", "verbatim"))


def test_every_image_is_named_by_its_digest() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    for image in [*bases, *(service["image"] for service in SERVICES.values() if "image" in service)]:
        assert re.fullmatch(r"(python:3\.11-slim|postgres:18)@sha256:[0-9a-f]{64}", image)


def test_the_image_is_built_from_the_pins_and_runs_without_rights() -> None:
    assert re.search(r"^USER 10001$", DOCKERFILE, re.MULTILINE)
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in copied.split():
            assert (ROOT / name).exists()
            assert f"!{name.removeprefix('./')}" in (ROOT / ".dockerignore").read_text().splitlines()


def test_a_container_counts_as_well_while_its_process_answers_whatever_becomes_of_the_database() -> None:
    # What restarts unhealthy containers would otherwise end a good process for its database's fault.
    [check] = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.+)$", DOCKERFILE, re.MULTILINE)
    assert "/livez" in check


@pytest.mark.parametrize("file", ["Dockerfile", "Makefile"])
def test_nothing_is_installed_but_what_is_built_here_or_has_a_hash(file: str) -> None:
    lines = (ROOT / file).read_text().replace("\\\n", " ")
    for name, value in re.findall(r"^(PIP|LOCKED) := (.+)$", lines, re.MULTILINE)[::-1]:
        lines = lines.replace(f"$({name})", value)
    commands = re.findall(r"\bpip .*?\b(?:install|wheel)\b[^&\n]*", lines)
    assert len(commands) >= 4
    for command in commands:
        # In isolation the tools of a build would be downloaded, and those have no hash.
        assert "--no-build-isolation" in command or "--no-index" in command
        assert "--require-hashes" in command or "--no-deps" in command
        assert set(re.findall(r"--requirement (\S+)", command)) <= set(LOCKS)


def test_the_pins_of_the_build_hold_what_the_build_asks_for_and_editable_installs_too() -> None:
    pinned = _pins("requirements-build.lock")
    for text in [*PROJECT["build-system"]["requires"], "editables"]:
        needed = Requirement(text)
        assert needed.specifier.contains(pinned[needed.name])


def test_pins_that_go_into_one_environment_agree() -> None:
    together: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in _pins(lock).items():
            if lock != "requirements-voice.lock" or name in _pins("requirements.lock"):
                together.setdefault(name, set()).add(version)
    assert [name for name, versions in together.items() if len(versions) > 1] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_pins_carry_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pins = re.findall(r"^(\S+==\S+).*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert pins
    assert len(pins) == len(re.findall(r"^[a-z0-9]", text, re.MULTILINE))
    assert not re.search(r"://|--index|--find", text)


def test_every_setting_that_the_image_and_compose_name_exists() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", DOCKERFILE + (ROOT / "docker-compose.yml").read_text()))
    assert named <= known


@pytest.mark.parametrize("name", ["migrate", "verbatim"])
def test_the_settings_in_compose_can_be_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = dict(re.findall(rf"({PREFIX}\w+)=(\S+)", DOCKERFILE))
    for variable, value in (image | SERVICES[name]["environment"]).items():
        monkeypatch.setenv(variable, _filled_in(value, DOTENV))
    settings = Settings.from_environment()
    assert settings.database_url == "postgresql://verbatim:0123456789abcdef@postgres:5432/verbatim"
    assert settings.host == "0.0.0.0"


def test_the_example_takes_tokens_that_an_identity_provider_signs_with_a_key_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in SERVICES["verbatim"]["environment"].items():
        monkeypatch.setenv(variable, _filled_in(value, DOTENV))
    [issuer] = Settings.from_environment().auth_issuers or ()
    assert issuer.issuer == DOTENV["AUTH_ISSUER"]
    assert issuer.jwks_url == DOTENV["AUTH_JWKS_URL"]
    assert issuer.audience == "verbatim"
    assert issuer.algorithms == ("RS256", "ES256")


@pytest.mark.parametrize("missing", DOTENV)
def test_what_is_missing_in_the_file_env_is_asked_for_by_name(missing: str) -> None:
    given = {name: value for name, value in DOTENV.items() if name != missing}
    with pytest.raises(KeyError, match=rf"put {missing}=… .*into the file \.env"):
        _filled_in((ROOT / "docker-compose.yml").read_text(), given)


def test_what_is_said_of_security_goes_with_the_source_and_is_found_from_the_readme() -> None:
    sources = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/SECURITY.md", *(f"/{lock}" for lock in LOCKS)} <= set(sources)
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text()


def test_every_file_and_test_that_the_threat_model_names_exists() -> None:
    named = re.findall(r"`((?:backend|tests|examples)/[\w./]+)`", (ROOT / "SECURITY.md").read_text())
    assert len(named) > 20
    assert [path for path in named if not (ROOT / path).exists()] == []


def _pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


def _filled_in(text: str, given: dict[str, str]) -> str:
    """Return ``text`` as Compose reads it with ``given`` in the file .env; raises KeyError for what must be there."""

    def value(found: re.Match[str]) -> str:
        default = found["default"] if found["default"] is not None else ""
        if found["complaint"] and not given.get(found["name"]):
            raise KeyError(found["complaint"])
        return given.get(found["name"]) or default

    return _VARIABLE.sub(value, text)
