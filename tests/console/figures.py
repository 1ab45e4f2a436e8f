"""Calls of two days of the past, and the tables in which the pages of figures show them."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from random import Random
from typing import Any, Final

import httpx
from playwright.async_api import Locator, expect

from tests import call_world
from tests.conftest import connect
from tests.console.browser import Tab
from tests.waiting import PATIENCE

# Two days in the zone of the browser, Ho Chi Minh City, of which the second is yesterday at `NOW`.
PERIOD: Final = {"since": "2024-03-01T17:00:00Z", "until": "2024-03-03T17:00:00Z"}
DAYS: Final = "since=2024-03-02&until=2024-03-03"
NOW: Final = datetime(2024, 3, 4, 3, tzinfo=UTC)


async def put_on_record(database_url: str) -> None:
    """Put calls on record, in the two days; none that goes on, which the service would end while it is counted."""
    made_up = call_world.make_up(Random(7), datetime.fromisoformat(PERIOD["since"]), 2, 160)
    calls = [call for call in made_up if all(session.ended_at for session in call.sessions)]
    connection = await connect(database_url)
    try:
        await call_world.put_on_record(connection, calls)
    finally:
        await connection.close()


async def stats(address: str, **query: str) -> dict[str, Any]:
    """Return what the API says of the two days."""
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        answer = await client.get(f"{address}/api/v1/stats", params=PERIOD | query)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def figure(tab: Tab, title: str) -> Locator:
    heading = tab.page.get_by_role("heading", name=title, exact=True, level=2)
    return tab.page.get_by_role("figure").filter(has=heading)


async def table(tab: Tab, title: str) -> list[list[str]]:
    """Open the table of a figure, and return its cells."""
    shown = figure(tab, title)
    await shown.get_by_text("The same as a table").click()
    rows = shown.locator("tbody tr")
    await expect(rows).not_to_have_count(0)
    return await cells(rows)


async def cells(rows: Locator) -> list[list[str]]:
    found: list[list[str]] = await rows.evaluate_all(
        "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return found


def latency(ms: float | None) -> str:
    """Return a latency as the console writes it."""
    if ms is None:
        return "\N{EN DASH}"
    if ms < 999.5:
        return f"{Decimal(ms).quantize(Decimal(1), ROUND_HALF_UP)} ms"
    digits = "0.01" if ms < 9_995 else "0.1" if ms < 99_995 else "1"
    return f"{Decimal(ms / 1000).quantize(Decimal(digits), ROUND_HALF_UP)} s"
