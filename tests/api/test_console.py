"""The console is served to every caller of this host, under a strict policy, and says nothing by itself."""

import re

import httpx
import pytest

from backend.app import create_app
from backend.console import FILES
from tests.api.test_docs import Inline, policy
from tests.conftest import running, settings_for

ASSETS = sorted(file.name for file in FILES.iterdir() if file.suffix != ".html")


@pytest.fixture
def service(shared_service: httpx.AsyncClient) -> httpx.AsyncClient:
    return shared_service


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_address_without_a_slash_leads_to_the_page_by_a_relative_way(
    service: httpx.AsyncClient, method: str
) -> None:
    answer = await service.request(method, "/console")
    assert (answer.status_code, answer.headers["location"]) == (308, "console/")


async def test_the_page_runs_and_loads_only_files_of_this_service(service: httpx.AsyncClient) -> None:
    answer = await service.get("/console/")
    found, allowed = Inline(answer.text), policy(answer)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert allowed["default-src"] == ["'none'"]
    assert allowed["script-src"] == allowed["style-src"] == allowed["connect-src"] == ["'self'"]
    assert allowed["require-trusted-types-for"] == ["'script'"]
    assert allowed["trusted-types"] == ["'none'"]
    assert found.parts == {"script": [], "style": []}
    assert found.attributes == []
    assert sorted(source for source in found.fetched if not source.startswith("data:")) == ASSETS


@pytest.mark.parametrize("name", ASSETS)
async def test_a_script_or_style_may_be_cached_for_ever_because_its_name_changes_with_it(
    service: httpx.AsyncClient, name: str
) -> None:
    assert re.fullmatch(r"\w+-[A-Z0-9]{8}\.(js|css)", name)
    answer = await service.get(f"/console/{name}")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == (FILES / name).read_bytes()


async def test_a_page_that_has_not_changed_is_not_sent_again(service: httpx.AsyncClient) -> None:
    tag = (await service.get("/console/")).headers["etag"]
    again = await service.get("/console/", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    head = await service.head("/console/")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)


@pytest.mark.parametrize("path", ["/console/nothing.js", "/console/../api/docs.py", "/console/%2e%2e/__init__.py"])
async def test_only_its_own_files_are_there(service: httpx.AsyncClient, path: str) -> None:
    answer = await service.get(path)
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/not-found"


async def test_it_needs_no_token(shared_database_url: str) -> None:
    async with running(create_app(settings_for(shared_database_url, auth_issuers=()))) as client:
        assert (await client.get("/console/")).status_code == 200
        assert (await client.get("/api/v1/conversations")).status_code == 401


async def test_a_setting_turns_it_off(shared_database_url: str) -> None:
    async with running(create_app(settings_for(shared_database_url, console=False))) as client:
        for path in ("/console", "/console/"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


async def test_another_host_that_resolves_to_this_machine_gets_no_page(service: httpx.AsyncClient) -> None:
    answer = await service.get("/console/", headers={"host": "evil.example"})
    assert answer.status_code == 421
