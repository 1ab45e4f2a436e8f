"""A tab of Debian's Chromium, and what went wrong in it that a reader would not see."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from tests.clients.typescript.npm import installed
from tests.console.build import SOURCES
from tests.installed import program
from tests.waiting import PATIENCE

Theme = Literal["light", "dark"]
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")
WIDTHS: Final = (1280, 320)
_FLAGS: Final = (
    "--disable-gpu",
    "--disable-dev-shm-usage",  # which is small in containers
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Folder for screenshots; without it none is taken.
_PICTURES: Final = os.environ.get("CONSOLE_SCREENSHOTS")
_VIOLATIONS: Final = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""

expect.set_options(timeout=PATIENCE * 1000)


@lru_cache
def _axe() -> str:
    with installed(SOURCES):  # another test may be about to install it
        return (SOURCES / "node_modules" / "axe-core" / "axe.min.js").read_text()


@dataclass
class Tab:
    """A page, and the faults that the browser has noted in it."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)

    async def open(self, place: str = "#/calls", token: str | None = None) -> None:
        """Go to a place of the console, sign in there if a token is given, and wait until what it reads is there."""
        await self.page.goto(f"{self.address}/console/{place}")
        if token is not None:
            await self.sign_in(token)
        await self.settle()

    async def sign_in(self, token: str) -> None:
        """Enter the token that the page asks for."""
        await self.page.get_by_label("Token").fill(token)
        await self.page.get_by_role("button", name="Sign in").click()

    async def settle(self) -> None:
        """Wait until nothing is being read."""
        await expect(self.page.locator("h1")).to_be_visible()
        await expect(self.page.locator("[aria-busy=true]")).to_have_count(0)

    async def violations(self) -> list[str]:
        """Return what axe finds in the page."""
        await self.page.evaluate(await asyncio.to_thread(_axe))
        found: dict[str, Any] = await self.page.evaluate("axe.run()")
        return [f"{each['id']}: {node['html']}" for each in found["violations"] for node in each["nodes"]]

    async def photograph(self, name: str) -> None:
        """Save what the page looks like, if the environment names a folder for it."""
        if _PICTURES:
            await self.page.screenshot(path=Path(_PICTURES) / f"{name}.png")

    def watch(self) -> None:
        """Note the faults from now on."""
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", self._requested)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"{message.type}: {message.text}")

    def _requested(self, request: Request) -> None:
        if not request.url.startswith("data:") and urlsplit(request.url).netloc != urlsplit(self.address).netloc:
            self.faults.append(f"request to another host: {request.url}")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run the browser without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium", "chromium"), args=[*_FLAGS])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def profile(folder: Path, address: str) -> AsyncIterator[Tab]:
    """Open a tab of a browser that keeps what it keeps of its user in ``folder``, whole once the block has ended."""
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            folder, executable_path=program("chromium", "chromium"), args=[*_FLAGS]
        )
        try:
            context.set_default_timeout(PATIENCE * 1000)
            yield Tab(context.pages[0], address)
        finally:
            await context.close()


@asynccontextmanager
async def tab(browser: Browser, address: str, theme: Theme = "light", width: int = 1280) -> AsyncIterator[Tab]:
    """Open a tab of its own, whose storage is empty."""
    context = await browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=theme, timezone_id="Asia/Ho_Chi_Minh", locale="en-GB"
    )
    context.set_default_timeout(PATIENCE * 1000)
    await context.add_init_script(_VIOLATIONS)
    opened = Tab(await context.new_page(), address)
    opened.watch()
    try:
        yield opened
    finally:
        await context.close()
