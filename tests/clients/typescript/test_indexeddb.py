"""A phone's storage in a browser: it does what every storage must, and outlives its tab."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import websockets

from tests.chromium import Tab, chromium
from tests.clients.typescript.npm import run


@pytest.fixture
def page(package: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a page with `clients/typescript/tests/indexeddb-page.ts`."""
    esbuild = package / "node_modules" / ".bin" / "esbuild"
    run(esbuild, "tests/indexeddb-page.ts", "--bundle", "--log-level=error", f"--outfile={tmp_path}/page.js")
    (tmp_path / "index.html").write_text("<!doctype html><title>0</title><script src='page.js'></script>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


async def test_indexeddb_does_what_every_storage_must(page: str, tmp_path: Path) -> None:
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.until("globalThis.check")
        found = await tab.run("check()")
    assert len(found) >= 6
    assert set(found.values()) == {"passed"}, found


async def test_a_session_belongs_to_one_tab(page: str, tmp_path: Path) -> None:
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.until("globalThis.claim")
        assert await tab.run("claim()") == [True, True, False]


async def test_two_tabs_in_one_session_lose_no_word(page: str, tmp_path: Path) -> None:
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.until("globalThis.both")
        found = await tab.run("both()")
    assert found == {"said": ["one from 0", "one from 1", "two from 0", "two from 1"], "lost": [0, 0]}


async def test_a_database_that_another_tab_deletes_is_opened_again(page: str, tmp_path: Path) -> None:
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.until("globalThis.cleared")
        assert await tab.run("cleared()") == [2]


async def test_what_was_appended_is_there_after_the_tab_was_killed(page: str, tmp_path: Path) -> None:
    async with chromium(tmp_path / "profile") as tab:
        await tab.open(page)
        await tab.until("globalThis.write")
        await tab.run("void write()")
        await tab.until("Number(document.title) >= 50")
        await tab.crash()
        async with _new_tab(tmp_path / "profile") as other:
            await other.open(page)
            await other.until("globalThis.read")
            numbers = await other.run("read()")
    assert len(numbers) >= 50
    assert numbers == [*range(1, len(numbers) + 1)]


@asynccontextmanager
async def _new_tab(profile: Path) -> AsyncIterator[Tab]:
    """Open an empty tab beside the others of the browser with this profile."""
    port = (profile / "DevToolsActivePort").read_text().split()[0]
    async with httpx.AsyncClient() as client:
        opened = await client.put(f"http://127.0.0.1:{port}/json/new")
    async with websockets.connect(opened.json()["webSocketDebuggerUrl"], max_size=None) as line:
        yield Tab(line)
