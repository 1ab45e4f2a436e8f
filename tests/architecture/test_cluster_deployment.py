"""The compose file of a small cluster, held against the code and the page that tells of it; no engine runs here."""

import re
from typing import Any, Final

import pytest
import yaml

from backend.migrations.distribution.catalogue import SETTINGS
from backend.settings import PREFIX, Settings
from tests.documentation import PAGES, ROOT

FILE: Final = "docker-compose.citus.yml"
TEXT: Final = (ROOT / FILE).read_text()
COMPOSE: Final = yaml.safe_load(TEXT)
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
NODES: Final = ("coordinator", "worker-1", "worker-2")


@pytest.mark.parametrize("node", NODES)
def test_every_node_has_the_settings_that_distribution_asks_for(node: str) -> None:
    given = dict(option.removeprefix("-c").split("=") for option in SERVICES[node]["command"][1:])
    assert {name: wanted for name, (wanted, _) in SETTINGS.items()}.items() <= given.items()
    assert given["shared_preload_libraries"] == "citus"
    assert SERVICES[node]["volumes"] == [f"{node}:/var/lib/postgresql"]


def test_the_page_names_each_setting_and_the_file() -> None:
    page = PAGES["docs/scale.md"]
    assert FILE in page
    for name, (wanted, _) in SETTINGS.items():
        assert f"{name} = {wanted}" in page


def test_nodes_are_added_then_the_schema_made_then_distributed_then_served() -> None:
    waits = {name: {*service.get("depends_on", {})} for name, service in SERVICES.items()}
    assert waits == {
        **{node: set() for node in NODES},
        "nodes": {*NODES},
        "migrate": {"nodes"},
        "distribute": {"migrate"},
        "verbatim": {"distribute"},
    }
    assert [SERVICES[name]["command"][0] for name in ("migrate", "distribute", "verbatim")] == [
        "migrate",
        "distribute",
        "serve",
    ]


def test_only_the_service_can_be_reached_and_no_container_has_more_than_it_needs() -> None:
    assert {name: each["ports"] for name, each in SERVICES.items() if "ports" in each} == {
        "verbatim": ["127.0.0.1:8000:8000"]
    }
    assert COMPOSE["networks"]["database"] == {"internal": True}
    for name, service in SERVICES.items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert re.fullmatch(r"\d+m", service["mem_limit"])
        assert all(re.fullmatch(r"/[a-z/]+:size=\d+m", mounted) for mounted in service["tmpfs"])
        assert service["networks"] == (["database", "default"] if name == "verbatim" else ["database"])


def test_the_image_is_the_operators_by_its_digest_and_the_service_does_not_search() -> None:
    assert re.findall(r"image: (\S+)", TEXT) == ["${CITUS_IMAGE:?put"]
    assert "@sha256:" in TEXT
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", TEXT))
    assert named <= {PREFIX + name.upper() for name in Settings.model_fields}
    for name in ("migrate", "distribute", "verbatim"):
        assert SERVICES[name]["environment"]["VERBATIM_SEARCH"] == "false"
