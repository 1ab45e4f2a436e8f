"""No request leaves the service or an example by a proxy that only the environment names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(file for folder in ("backend", "clients/python", "examples") for file in (ROOT / folder).rglob("*.py"))
SENDS = {"AsyncClient", "Client", "delete", "get", "head", "options", "patch", "post", "put", "request", "stream"}
TRANSPORTS = {"AsyncHTTPTransport", "HTTPTransport"}
# These read the environment's proxies, too.
OTHERS = {"aiohttp", "requests", "urllib.request", "urllib3", "websockets"}


def faults(source: str) -> Iterator[str]:
    """Yield each line that sends, or may send, by the environment's proxies."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="httpx"), attr=name)) if name in SENDS | TRANSPORTS:
                words = {word.arg: word.value for word in node.keywords}
                value = words.get("trust_env")
                if not (isinstance(value, ast.Constant) and value.value is False):
                    yield f"line {node.lineno}: httpx.{name} without trust_env=False"
            case ast.Import(names=names) if OTHERS & {name.name for name in names}:
                yield f"line {node.lineno}: a client that reads the environment"
            case ast.ImportFrom(module=module) if module in OTHERS | {"httpx"}:
                yield f"line {node.lineno}: import the module, so that a client is seen where it is made"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_client_reads_proxies_from_the_environment(file: Path) -> None:
    assert list(faults(file.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line", ["httpx.AsyncClient()", "httpx.get(url)", "httpx.Client(trust_env=True)", "import requests"]
)
def test_a_client_that_reads_them_would_be_found(line: str) -> None:
    assert len(list(faults(line))) == 1
