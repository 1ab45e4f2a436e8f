"""The page of how much happened."""

import re

import pytest
from playwright.async_api import Browser, expect

from tests.console.browser import THEMES, WIDTHS, Tab, Theme, tab
from tests.console.figures import DAYS, NOW, figure, stats, table

pytestmark = pytest.mark.usefixtures("shared_figures")
PLACE = f"#/volume?{DAYS}"
COUNTS = ("calls", "turns", "interruptions", "abandoned", "incomplete")
INCIDENTS = {
    "Error": "Error",
    "Warning": "Warning",
    "InjectionRefused": "Injection refused",
    "FrustrationDetected": "Frustration detected",
}
INTENTS = {"GOAL": "Goal", "NEW_TASK": "New task"}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_the_page_is_accessible_and_fits_the_window(
    shared_browser: Browser, shared_address: str, theme: Theme, width: int
) -> None:
    async with tab(shared_browser, shared_address, theme, width) as opened:
        await opened.open(PLACE)
        await expect(opened.page.get_by_role("figure")).to_have_count(8)
        await opened.photograph(f"volume-{theme}-{width}")
        await table(opened, "Incidents by type")
        assert await opened.violations() == []
        assert await opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.faults == []


async def test_the_sums_are_those_of_the_api(shared_tab: Tab, shared_address: str) -> None:
    total = (await stats(shared_address))["total"]
    await shared_tab.open(PLACE)
    shown = dict(
        zip(
            await shared_tab.page.locator(".facts dt").all_text_contents(),
            await shared_tab.page.locator(".facts dd").all_text_contents(),
            strict=True,
        )
    )
    assert shown.pop("Minutes") == minutes(total["minutes"])
    assert shown.pop("Incidents") == f"{sum(total['incidents'].values()):,}"
    assert shown == {name.capitalize(): f"{total[name]:,}" for name in COUNTS}


async def test_the_figures_over_time_are_those_of_the_api(shared_tab: Tab, shared_address: str) -> None:
    buckets = (await stats(shared_address))["buckets"]
    await shared_tab.open(PLACE)
    for name in COUNTS:
        rows = await table(shared_tab, name.capitalize())
        assert [row[1] for row in rows] == [str(each[name]) for each in buckets]
        bars = figure(shared_tab, name.capitalize()).locator("svg rect")
        await expect(bars).to_have_count(sum(each[name] > 0 for each in buckets))
    rows = await table(shared_tab, "Minutes")
    assert [row[1] for row in rows] == [minutes(each["minutes"]) for each in buckets]


@pytest.mark.parametrize(
    ("title", "kinds", "words"), [("Incidents by type", "incidents", INCIDENTS), ("Intents", "intents", INTENTS)]
)
async def test_what_is_of_several_kinds_has_a_plot_and_a_column_for_each(
    shared_tab: Tab, shared_address: str, title: str, kinds: str, words: dict[str, str]
) -> None:
    expected = await stats(shared_address)
    await shared_tab.open(PLACE)
    rows = await table(shared_tab, title)
    shown = figure(shared_tab, title)
    columns = (await shown.locator("thead th").all_text_contents())[1:]
    assert sorted(columns) == sorted(words.values())
    names = [next(kind for kind, name in words.items() if name == column) for column in columns]
    assert [row[1:] for row in rows] == [
        [str(each[kinds].get(kind, 0)) for kind in names] for each in expected["buckets"]
    ]
    assert await shown.get_by_role("heading", level=3).all_text_contents() == [
        f"{words[kind]} · {expected['total'][kinds][kind]}" for kind in names
    ]


async def test_the_arrow_keys_read_out_each_bar(shared_tab: Tab, shared_address: str) -> None:
    buckets = (await stats(shared_address))["buckets"]
    await shared_tab.open(PLACE)
    plot = shared_tab.page.get_by_role("slider", name="Calls over time")
    await plot.focus()
    for key, place in (("Home", 0), ("ArrowRight", 1), ("PageUp", 11), ("ArrowLeft", 10), ("End", -1)):
        await plot.press(key)
        await expect(plot).to_have_attribute("aria-valuetext", re.compile(f"Calls {buckets[place]['calls']}$"))


async def test_a_range_counts_until_now_and_keeps_the_other_filters(shared_tab: Tab) -> None:
    page = shared_tab.page
    await shared_tab.open(f"{PLACE}&source=deepgram&bucket=PT15M")
    await page.get_by_role("link", name="30 d").first.click()
    await expect(page).to_have_url(re.compile(r"#/volume\?source=deepgram&range=30d$"))
    await expect(page.get_by_role("link", name="30 d").first).to_have_attribute("aria-current", "true")
    await expect(page.get_by_role("heading", name="No calls with these filters")).to_be_visible()


async def test_an_empty_record_offers_longer_periods(shared_tab: Tab) -> None:
    await shared_tab.page.clock.set_fixed_time(NOW)
    await shared_tab.open("#/volume")
    await expect(shared_tab.page.get_by_role("heading", name="No calls in the last 24 hours")).to_be_visible()
    await shared_tab.photograph("volume-empty")
    assert await shared_tab.violations() == []
    await shared_tab.page.get_by_role("navigation", name="Longer periods").get_by_role("link", name="Yesterday").click()
    await expect(shared_tab.page.get_by_role("figure").first).to_be_visible()


async def test_the_calls_of_the_period_are_a_link_away(shared_tab: Tab) -> None:
    await shared_tab.open(PLACE)
    await shared_tab.page.get_by_role("link", name="see the calls of these days").click()
    await expect(shared_tab.page).to_have_url(re.compile(f"#/calls\\?{DAYS}$"))
    await expect(shared_tab.page.locator("tbody tr")).not_to_have_count(0)


def minutes(value: float) -> str:
    return f"{int(value + 0.5):,}" if value >= 100 else f"{int(10 * value + 0.5) / 10:g}"
