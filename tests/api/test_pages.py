"""Pages for people run and show what the service itself has written, and nothing else."""

import base64
import hashlib
import re

import httpx
import pytest

PAGES = ["/docs", "/problems/busy"]


def directives(answer: httpx.Response) -> dict[str, list[str]]:
    policy = [directive.split() for directive in answer.headers["content-security-policy"].split(";")]
    return {name: sources for name, *sources in policy}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_runs_nothing_but_its_own_files_and_what_stands_in_it(
    service: httpx.AsyncClient, path: str
) -> None:
    page = await service.get(path)
    policy = directives(page)
    assert (
        policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == ["'none'"]
    )
    for kind in ("script", "style"):
        inline = re.findall(rf"<{kind}>(.*?)</{kind}>", page.text, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
        assert policy[f"{kind}-src"] == ["'self'", *(f"'sha256-{each}'" for each in hashes)]
    assert not re.search(r"<[^>]+ (style|on\w+)=", page.text)
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_no_address_but_the_services_own_stands_in_a_page(service: httpx.AsyncClient) -> None:
    for path in PAGES:
        page = await service.get(path)
        assert not re.search(r'(src|href)="(?!/)', page.text)
