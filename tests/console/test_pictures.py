"""The pictures in the documentation: what the pages show of demo data.

`make console-pictures` takes them anew. A picture is the same each time on one machine. On another the fonts differ, so
it is not compared with what is committed.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from backend.dao_service.connection.database import Database
from backend.demo_data.call import Call, Sender
from backend.demo_data.playing import fill
from backend.demo_data.week import plan
from tests.conftest import settings_for
from tests.console.browser import tab
from tests.documentation import PAGES, ROOT

UNTIL: Final = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
DAYS: Final = 7
CALLS: Final = 150
LARGEST: Final = 200_000  # bytes
WEEK: Final = "since=2026-01-25&until=2026-01-31"
PLACES: Final = {
    "calls": "#/calls",
    "call": "#/calls/{call}",
    "search": "#/search?q=dentist",
    "latency": f"#/latency?{WEEK}&bucket=PT6H",
    "volume": f"#/volume?{WEEK}&bucket=PT6H",
    "deliveries": "#/deliveries",
}
HEIGHTS: Final = {"call": 1180}  # pixels; the others are as high as a window
_COMMITTED: Final = ROOT / "docs" / "pictures"
_FOLDER: Final = os.environ.get("CONSOLE_PICTURES")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_demo(shared_database_url: str) -> list[Call]:
    """The calls of a week, on record."""
    calls = plan(1, UNTIL, DAYS, CALLS)
    settings = settings_for(shared_database_url)
    database = Database(settings.database_url or "", direct=settings.pooler_bypass_url)
    try:
        await fill(database, calls, timedelta(hours=1), lambda: None)
    finally:
        await database.close()
    return calls


@pytest.fixture(scope="module")
def shared_pictured(shared_demo: list[Call], shared_address: str) -> str:
    """The id of a phone's call in English with as much of what may happen in one as there is."""
    ids = [call.id for call in shared_demo if call.wish.language == "en" and call.wish.sender is Sender.PHONE]
    with httpx.Client(base_url=f"{shared_address}/api/v1") as client:
        calls = [client.get(f"/conversations/{each}", params={"include": "summary"}).json() for each in ids]
    return str(max(calls, key=_eventful)["id"])


@pytest.mark.parametrize(("name", "place"), PLACES.items())
async def test_a_picture_is_the_same_each_time_and_small(
    shared_browser: Browser, shared_address: str, shared_pictured: str, name: str, place: str
) -> None:
    place, height = place.format(call=shared_pictured), HEIGHTS.get(name, 800)
    once, again = [await _picture(shared_browser, shared_address, place, height) for _ in range(2)]
    assert once == again
    assert len(once) <= LARGEST
    if _FOLDER:
        (Path(_FOLDER) / f"{name}.png").write_bytes(once)


def test_each_picture_is_shown_and_small() -> None:
    for name in PLACES:
        assert (_COMMITTED / f"{name}.png").stat().st_size <= LARGEST
        assert f"(pictures/{name}.png)" in PAGES["docs/console.md"]
    assert "(docs/pictures/call.png)" in PAGES["README.md"]


async def _picture(browser: Browser, address: str, place: str, height: int) -> bytes:
    async with tab(browser, address) as opened:
        await opened.page.set_viewport_size({"width": 1280, "height": height})
        await opened.page.clock.set_fixed_time(UNTIL)
        await opened.open(place)
        return await opened.page.screenshot(animations="disabled", caret="hide")


def _eventful(call: dict[str, Any]) -> tuple[int, int]:
    summary = call["summary"]
    kinds = sum(summary[each] > 0 for each in ("functions", "interruptions", "incidents"))
    return kinds, -call["message_count"]
