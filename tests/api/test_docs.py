"""Pages for people run and show only what this service has written."""

import base64
import hashlib
from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest

from backend.api.docs import html_page
from backend.api.problems import ALL

PAGES = ("/docs", *(f"/problems/{slug}" for slug in ALL))
KINDS = ("script", "style")


@pytest.fixture
def service(shared_service: httpx.AsyncClient) -> httpx.AsyncClient:
    return shared_service


class Inline(HTMLParser):
    """Finds what a browser would run or apply that stands in the page itself, and what it would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.parts: dict[str, list[str]] = {kind: [] for kind in KINDS}
        self.fetched: list[str] = []
        self.attributes: list[str] = []
        self._within: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.fetched += [value for name in ("src", "href") if (value := given.get(name))]
        self.attributes += [name for name in given if name == "style" or name.startswith("on")]
        self._within = tag if tag in KINDS and "src" not in given else None

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 -- whichever it is
        self._within = None

    def handle_data(self, data: str) -> None:
        if self._within:
            self.parts[self._within].append(data)


def policy(answer: httpx.Response) -> dict[str, list[str]]:
    directives = (directive.split() for directive in answer.headers["content-security-policy"].split(";"))
    return {name: sources for name, *sources in directives}


def hashes(parts: list[str]) -> Iterator[str]:
    for part in parts:
        yield f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_runs_and_shows_what_it_has_now_and_nothing_that_is_put_in(
    service: httpx.AsyncClient, path: str
) -> None:
    answer = await service.get(path)
    found, allowed = Inline(answer.text), policy(answer)
    assert allowed["default-src"] == ["'none'"]
    for kind in KINDS:
        assert allowed[f"{kind}-src"] == ["'self'", *hashes(found.parts[kind])]
    assert "unsafe" not in answer.headers["content-security-policy"]
    for directive in ("base-uri", "form-action", "frame-ancestors"):
        assert allowed[directive] == ["'none'"]
    assert found.attributes == []
    assert all(source.startswith("/") and not source.startswith("//") for source in found.fetched)
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_the_documentation_has_a_script_and_may_fetch_the_description_from_here_alone(
    service: httpx.AsyncClient,
) -> None:
    answer = await service.get("/docs")
    assert len(Inline(answer.text).parts["script"]) == 1
    assert policy(answer)["connect-src"] == ["'self'"]
    assert policy(answer)["img-src"] == ["'self'", "data:"]
    for asset in Inline(answer.text).fetched:
        fetched = await service.get(asset)
        assert fetched.status_code == 200
        assert fetched.headers["content-type"].split(";")[0] in {"text/css", "text/javascript", "image/png"}


async def test_the_documentation_asks_for_a_token(service: httpx.AsyncClient) -> None:
    """Swagger UI shows its button Authorize for what the description declares."""
    description = (await service.get("/openapi.json")).json()
    assert description["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_only_what_stands_there_word_for_word_is_allowed() -> None:
    html = (
        "<style>a\n{ color: red }</style><script>one()</script><script defer>two()</script><script>\n three() </script>"
    )
    answer = html_page(html)
    allowed = answer.headers["content-security-policy"]
    for part in ("one()", "\n three() ", "a\n{ color: red }"):
        assert next(hashes([part])) in allowed
    assert next(hashes(["two()"])) not in allowed
