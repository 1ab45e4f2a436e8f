"""How soon can the console be used, and does a long call scroll without a stop?

    python -m tests.benchmarks.console [--messages N] [--rounds N]

Debian's Chromium opens, in a new tab each time, the list of 50 calls, a call of 500 messages, and one of N, of which it
then scrolls through to its end. A page is usable once what it lists has been painted. A task of more than
50 ms is what browsers call long: for that time the page does not answer. Times until usable are medians of the rounds.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import httpx
from playwright.async_api import Browser, Page, expect
from rich.console import Console

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from tests import clusters
from tests.conftest import serving
from tests.console import one_call
from tests.console.browser import chromium, tab
from tests.console.calls import end, open_call, say

LISTED: Final = 50
SHORT: Final = 500
_PART: Final = 200  # messages that the page shows at a time
_ROWS: Final = "tbody tr"
_TURNS: Final = ".turns > li"
_WATCH: Final = """
globalThis.tasks = [];
const note = (list) => tasks.push(...list.getEntries().map(({ duration }) => duration));
new PerformanceObserver(note).observe({ type: "longtask" });
new MutationObserver((_, observer) => {
  if (document.querySelectorAll("ROWS").length < COUNT) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => (globalThis.usable = performance.now())));
}).observe(document, { subtree: true, childList: true });
"""


@dataclass
class Meter:
    """Opens pages, and notes in milliseconds when each was usable, and its tasks over 50 ms."""

    browser: Browser
    address: str
    usable: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    tasks: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    @asynccontextmanager
    async def open(self, name: str, place: str, rows: str, count: int) -> AsyncIterator[Page]:
        """Open a place in a tab of its own, and wait until it shows so many rows."""
        async with tab(self.browser, self.address) as opened:
            await opened.page.add_init_script(_WATCH.replace("ROWS", rows).replace("COUNT", str(count)))
            await opened.open(place)
            await opened.page.wait_for_function("globalThis.usable !== undefined")
            self.usable[name].append(await opened.page.evaluate("usable"))
            await self.note(opened.page, f"opening {name}")
            yield opened.page

    async def note(self, page: Page, phase: str) -> None:
        """Note the tasks since the phase before."""
        self.tasks[phase] += await page.evaluate("tasks.splice(0)")

    async def read(self, name: str, place: str, parts: int) -> None:
        """Scroll through a call that has so many parts."""
        async with self.open(name, place, _TURNS, _PART) as page:
            await page.mouse.move(640, 400)
            for part in range(1, parts):
                for _ in range(12):
                    await page.mouse.wheel(0, 600)
                    await page.evaluate("new Promise(requestAnimationFrame)")
                await page.get_by_role("button", name="Later messages").click()
                for number in (part * _PART + 1, (part + 1) * _PART):  # the two halves come in tasks of their own
                    await expect(page.locator(f".turns a[href$='at={number}']")).to_be_visible()
            await self.note(page, f"scrolling {name}")


def measure(*, messages: int, rounds: int) -> Meter:
    """Open each page `rounds` times; return what was noted."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(clusters.prepare(Path(folder))) as postgres:
        runner.upgrade(postgres.url)
        with serving(postgres.url) as address:
            return asyncio.run(_measure(address, messages, rounds))


async def _measure(address: str, messages: int, rounds: int) -> Meter:
    short, long = await _fill(address, messages)
    async with chromium() as browser:
        meter = Meter(browser, address)
        for _ in range(rounds):
            async with meter.open(f"the list of {LISTED}", "#/calls", _ROWS, LISTED):
                pass
            async with meter.open(f"a call of {SHORT}", f"#/calls/{short}", _TURNS, _PART):
                pass
            await meter.read(f"a call of {messages:,}", f"#/calls/{long}", messages // _PART)
        return meter


async def _fill(address: str, messages: int) -> tuple[str, str]:
    async with httpx.AsyncClient(base_url=f"{address}/api/v1", timeout=60) as client:
        for _ in range(LISTED):
            call = await open_call(client)
            await say(client, call, "Could you move the dentist to Friday?")
            await end(client, call)
        return await one_call.long(client, SHORT), await one_call.long(client, messages)


def main() -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    meter = measure(messages=arguments.messages, rounds=arguments.rounds)
    console = Console()
    for name, taken in meter.usable.items():
        console.print(f"{name}: usable after {median(taken):.0f} ms, at most {max(taken):.0f}")
    for phase, tasks in meter.tasks.items():
        longest = f", the longest {max(tasks):.0f} ms" if tasks else ""
        console.print(f"{phase}: {len(tasks)} tasks over 50 ms{longest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
