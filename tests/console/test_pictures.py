"""The pictures in the documentation: what the pages show of demo data.

`make console-pictures` takes them anew; it needs fonts for all languages of the demo data (Debian: `fonts-noto-cjk` and
`fonts-thai-tlwg`). A picture shows the same each time, but Chromium draws edges with slightly different colours, and
fonts differ between machines. So texts are compared, and not pixels.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg
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
from tests.searching import INDEXED
from tests.waiting import until_found

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
HEIGHTS: Final = {"call": 1180, "calls": 640}  # pixels; the others are as high as a window
_COMMITTED: Final = ROOT / "docs" / "pictures"
_FOLDER: Final = os.environ.get("CONSOLE_PICTURES")


class _Picture(NamedTuple):
    image: bytes  # PNG
    text: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_demo(
    shared_database_url: str,
    shared_connection: asyncpg.Connection,
    shared_address: str,  # noqa: ARG001 -- its search worker indexes the messages
) -> list[Call]:
    """The calls of a week, on record and found by searches."""
    calls = plan(1, UNTIL, DAYS, CALLS)
    settings = settings_for(shared_database_url)
    database = Database(settings.database_url or "", direct=settings.pooler_bypass_url)
    try:
        await fill(database, calls, timedelta(hours=1), lambda: None)
    finally:
        await database.close()
    await until_found(shared_connection, INDEXED)
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
    assert once.text == again.text
    assert len(once.image) <= LARGEST
    if _FOLDER:
        (Path(_FOLDER) / f"{name}.png").write_bytes(once.image)


def test_each_picture_is_shown_and_small() -> None:
    for name in PLACES:
        assert (_COMMITTED / f"{name}.png").stat().st_size <= LARGEST
        assert f"(pictures/{name}.png)" in PAGES["docs/console.md"]
    assert "(docs/pictures/call.png)" in PAGES["README.md"]


async def _picture(browser: Browser, address: str, place: str, height: int) -> _Picture:
    async with tab(browser, address) as opened:
        await opened.page.set_viewport_size({"width": 1280, "height": height})
        await opened.page.clock.set_fixed_time(UNTIL)
        await opened.open(place)
        image = await opened.page.screenshot(animations="disabled", caret="hide")
        return _Picture(image, await opened.page.inner_text("body"))


def _eventful(call: dict[str, Any]) -> tuple[int, int]:
    summary = call["summary"]
    kinds = sum(summary[each] > 0 for each in ("functions", "interruptions", "incidents"))
    return kinds, -call["message_count"]
