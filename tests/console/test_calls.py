"""The list of calls."""

import re

import pytest
from playwright.async_api import Browser, expect

from tests.console.browser import THEMES, WIDTHS, Tab, Theme, tab
from tests.console.calls import MANY, Calls


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_the_list_is_accessible_and_fits_the_window(
    shared_browser: Browser, shared_address: str, shared_calls: Calls, theme: Theme, width: int
) -> None:
    async with tab(shared_browser, shared_address, theme, width) as opened:
        await opened.open()
        assert await opened.page.locator("tbody tr").count() > 1
        await opened.photograph(f"calls-{theme}-{width}")
        assert await opened.violations() == []
        assert await opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.faults == []
    assert shared_calls


async def test_calls_that_go_on_stand_above_the_others(shared_tab: Tab, shared_calls: Calls) -> None:
    await shared_tab.open()
    first = shared_tab.page.locator("tbody tr").first
    await expect(first).to_contain_text("live")
    await expect(first.locator("a")).to_have_attribute("href", f"#/calls/{shared_calls.live}")


async def test_a_call_with_missing_events_says_how_many(shared_tab: Tab, shared_calls: Calls) -> None:
    await shared_tab.open()
    row = shared_tab.page.locator(f"tr:has(a[href$='{shared_calls.incomplete}'])")
    await expect(row).to_contain_text("2 missing")


async def test_a_filter_stands_in_the_address_and_one_key_clears_it(shared_tab: Tab, shared_calls: Calls) -> None:
    await shared_tab.open()
    await shared_tab.page.get_by_label("Intent").select_option("RESCHEDULE_TASK")
    await expect(shared_tab.page.locator("tbody tr")).to_have_count(1)
    await expect(shared_tab.page).to_have_url(re.compile("intent=RESCHEDULE_TASK"))
    await shared_tab.page.get_by_label("Who").fill("no such person")
    await shared_tab.page.get_by_label("Who").press("Enter")
    await expect(shared_tab.page.get_by_role("heading", name="No calls with these filters")).to_be_visible()
    await shared_tab.page.locator("h1").focus()
    await shared_tab.page.keyboard.press("x")
    await expect(shared_tab.page.locator("tbody tr")).not_to_have_count(1)
    assert shared_calls


async def test_the_keyboard_moves_over_the_rows_and_opens_one(shared_tab: Tab, shared_calls: Calls) -> None:
    await shared_tab.open()
    for key in ("j", "j", "k", "Enter"):
        await shared_tab.page.keyboard.press(key)
    await expect(shared_tab.page).to_have_url(re.compile(shared_calls.live))
    await expect(shared_tab.page.get_by_role("heading", name="Call of")).to_be_visible()
    await shared_tab.page.keyboard.press("Escape")
    await expect(shared_tab.page.get_by_role("heading", name="Calls")).to_be_focused()


async def test_a_key_moves_to_the_next_call_in_which_something_is_wrong(shared_tab: Tab, shared_calls: Calls) -> None:
    await shared_tab.open()
    await shared_tab.page.keyboard.press("e")
    await expect(shared_tab.page.locator("a:focus")).to_have_attribute("href", f"#/calls/{shared_calls.incomplete}")
    await shared_tab.page.keyboard.press("e")
    await expect(shared_tab.page.get_by_role("status")).to_have_text("No further call with incidents, or not complete")


async def test_every_call_is_on_one_of_the_pages(shared_tab: Tab, shared_calls: Calls) -> None:
    await shared_tab.open()
    found: set[str] = set()
    while True:
        links = shared_tab.page.locator("tbody a")
        found |= {str(await link.get_attribute("href")) for link in await links.all()}
        following = shared_tab.page.get_by_role("link", name="Next page")
        if not await following.count():
            break
        await following.click()
        await shared_tab.settle()
    assert len(found) == MANY + 4
    assert f"#/calls/{shared_calls.spoken}" in found
