"""The page of latencies."""

import re
from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Request, expect

from tests.conftest import connect, serving
from tests.console.browser import THEMES, WIDTHS, Tab, Theme, tab
from tests.console.figures import DAYS, NOW, cells, figure, latency, stats, table

pytestmark = pytest.mark.usefixtures("shared_figures")
PLACE = f"#/latency?{DAYS}"
SHARES = ("p50", "p90", "p95", "p99")
STAGES = {"stt": "Speech recognition", "llm": "Language model", "tts": "Speech synthesis"}
OVER_TIME = "Answers over time"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_the_page_is_accessible_and_fits_the_window(
    shared_browser: Browser, shared_address: str, theme: Theme, width: int
) -> None:
    async with tab(shared_browser, shared_address, theme, width) as opened:
        await opened.open(f"{PLACE}&bucket=PT6H")
        await expect(opened.page.get_by_role("figure")).to_have_count(5)
        await opened.photograph(f"latency-{theme}-{width}")
        await table(opened, OVER_TIME)
        assert await opened.violations() == []
        assert await opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.faults == []


async def test_the_percentiles_of_the_period_are_those_of_the_api(shared_tab: Tab, shared_address: str) -> None:
    expected = (await stats(shared_address))["total"]["latency_ms"]
    await shared_tab.open(PLACE)
    rows = await cells(shared_tab.page.get_by_role("table", name="Percentiles of the period").locator("tbody tr"))
    assert [row[1:] for row in rows] == [
        [*(latency(expected[stage][share]) for share in SHARES), f"{expected[stage]['count']:,}"]
        for stage in ("total", *STAGES)
    ]


async def test_the_percentiles_over_time_are_those_of_the_api(shared_tab: Tab, shared_address: str) -> None:
    expected = await stats(shared_address)
    await shared_tab.open(PLACE)
    for stage, title, shares in (
        ("total", OVER_TIME, SHARES),
        *((stage, title, ("p50", "p95")) for stage, title in STAGES.items()),
    ):
        figures = [each["latency_ms"][stage] for each in expected["buckets"]]
        assert [row[1:] for row in await table(shared_tab, title)] == [
            [*(latency(each[share]) for share in shares), str(each["count"])] for each in figures
        ]


async def test_the_histogram_is_that_of_the_api(shared_tab: Tab, shared_address: str) -> None:
    parts = (await stats(shared_address))["histogram"]
    await shared_tab.open(PLACE)
    title = "How many answers took how long"
    assert [row[1] for row in await table(shared_tab, title)] == [str(each["count"]) for each in parts]
    bars = figure(shared_tab, title).locator("svg rect")
    await expect(bars).to_have_count(sum(each["count"] > 0 for each in parts))


async def test_fewer_than_20_answers_are_dots_and_no_part_of_a_line(shared_tab: Tab, shared_address: str) -> None:
    expected = await stats(shared_address, bucket="PT6H")
    counts = [each["latency_ms"]["total"]["count"] for each in expected["buckets"]]
    enough = [count >= 20 for count in counts]
    assert any(enough)
    assert not all(enough)
    await shared_tab.open(f"{PLACE}&bucket=PT6H")
    plot = figure(shared_tab, OVER_TIME).locator(".plot svg").first
    await expect(plot.locator("path.hollow")).to_have_count(4 * sum(0 < count < 20 for count in counts))
    drawn = str(await plot.locator("path.line").first.get_attribute("d"))
    assert len(re.findall("[ML]", drawn)) == sum(enough)

    await shared_tab.open(f"{PLACE}&bucket=PT1H")
    assert all(each["latency_ms"]["total"]["count"] < 20 for each in (await stats(shared_address))["buckets"])
    for line in await plot.locator("path.line").all():
        assert await line.get_attribute("d") == ""
    await expect(figure(shared_tab, OVER_TIME)).to_contain_text("fewer than 20 answers")


async def test_each_point_says_how_many_answers_it_is_made_of(shared_tab: Tab, shared_address: str) -> None:
    expected = await stats(shared_address, bucket="PT6H")
    await shared_tab.open(f"{PLACE}&bucket=PT6H")
    shown = figure(shared_tab, OVER_TIME)
    points = [each["latency_ms"]["total"] for each in expected["buckets"] if each["latency_ms"]["total"]["count"]]
    await expect(shown.locator(".plot svg").nth(1).locator("rect")).to_have_count(len(points))
    plot = shown.get_by_role("slider").first
    await plot.focus()
    for key, point in (("Home", points[0]), ("ArrowRight", points[1]), ("End", points[-1]), ("ArrowLeft", points[-2])):
        await plot.press(key)
        said = [*(f"{share} {latency(point[share])}" for share in SHARES), f"{point['count']} answer"]
        await expect(plot).to_have_attribute("aria-valuetext", re.compile(re.escape(" · ".join(said))))
        await expect(shown.locator(".readout").first).to_contain_text(" · ".join(said))


async def test_the_slowest_answers_are_links_into_their_calls(shared_tab: Tab, shared_address: str) -> None:
    expected = (await stats(shared_address))["slowest"]
    await shared_tab.open(PLACE)
    rows = shared_tab.page.locator(".slowest tbody tr")
    await expect(rows).to_have_count(20)
    assert [row[1:] for row in await cells(rows)] == [
        [latency(each["ms"]), *(latency(each["stages"][stage]) for stage in STAGES)] for each in expected
    ]
    worst = shared_tab.page.locator(".worst a")
    await expect(worst).to_contain_text(latency(expected[0]["ms"]))
    await expect(worst).to_have_attribute("href", str(await rows.first.get_by_role("link").get_attribute("href")))
    await rows.nth(3).get_by_role("link").click()
    await expect(shared_tab.page).to_have_url(re.compile(expected[3]["conversation_id"]))
    await expect(shared_tab.page.locator(".turns .here")).to_contain_text("Could you move the dentist to Thursday?")


async def test_yesterdays_slowest_answer_is_found_with_the_keyboard_alone(shared_tab: Tab, shared_address: str) -> None:
    page = shared_tab.page
    await page.clock.set_fixed_time(NOW)
    slowest = (await stats(shared_address, since="2024-03-02T17:00:00Z"))["slowest"][0]
    await shared_tab.open()
    for key in ("g", "l"):
        await page.keyboard.press(key)
    await expect(page.get_by_role("heading", name="Latency")).to_be_focused()
    for _ in range(2):  # the second period
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Yesterday").first).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("since=2024-03-03&until=2024-03-03"))
    await expect(page.locator(".slowest strong").first).to_have_text(latency(slowest["ms"]))
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile(slowest["conversation_id"]))
    await expect(page.locator(".turns .here")).to_be_in_viewport()


async def test_filters_stand_in_the_address_and_one_key_clears_them(shared_tab: Tab, shared_address: str) -> None:
    page = shared_tab.page
    answers = page.get_by_role("table", name="Percentiles of the period").locator("td:last-child").first
    await shared_tab.open(PLACE)
    for name, label, value in (
        ("context_type", "About", "task"),
        ("source", "Recorded by", "posts"),
        ("bucket", "Each point is", "PT1H"),
    ):
        await page.get_by_label(label).select_option(value)
        await expect(page).to_have_url(re.compile(f"{name}={value}"))
    found = await stats(shared_address, context_type="task", source="posts")
    await expect(answers).to_contain_text(str(found["total"]["latency_ms"]["total"]["count"]))
    await page.get_by_label("From").fill("2023-03-02")
    await page.get_by_label("Until").fill("2023-03-02")
    await expect(page.get_by_role("heading", name="No answers with a known latency with these filters")).to_be_visible()
    await page.locator("h1").focus()
    await page.keyboard.press("x")
    await expect(page).to_have_url(re.compile("#/latency$"))
    await expect(page.get_by_role("heading", name="in the last 24 hours")).to_be_visible()
    assert await shared_tab.violations() == []


async def test_days_in_the_wrong_order_are_not_asked_for(shared_tab: Tab) -> None:
    await shared_tab.open("#/latency?since=2024-03-03&until=2024-03-02")
    await expect(shared_tab.page.get_by_role("heading", name="This period has no time in it")).to_be_visible()
    assert await shared_tab.violations() == []


@pytest.fixture
def shared_hurried(shared_database_url: str) -> Iterator[str]:
    """The address of a service that gives up before the two seconds for which it waits for a lock."""
    with serving(shared_database_url, VERBATIM_STATEMENT_TIMEOUT="0.5") as address:
        yield address


async def test_what_takes_too_long_to_count_is_asked_for_once_and_can_be_narrowed(
    shared_browser: Browser, shared_hurried: str, shared_database_url: str
) -> None:
    holder = await connect(shared_database_url)
    counts: list[str] = []

    def count(request: Request) -> None:
        if "/stats" in request.url:
            counts.append(request.url)

    async with tab(shared_browser, shared_hurried) as opened:
        page = opened.page
        page.on("request", count)
        async with holder.transaction():
            await holder.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")
            await opened.page.goto(f"{shared_hurried}/console/{PLACE}&context_type=voice")
            await expect(page.get_by_role("heading", name="This is too much to count at once")).to_be_visible()
            await opened.photograph("latency-too-slow")
            assert await opened.violations() == []
            await expect(page.locator(".banner")).to_be_hidden()
            assert len(counts) == 1
        await page.get_by_role("button", name="Try again").click()
        await expect(page.get_by_role("figure").first).to_be_visible()
        assert ["504" in fault for fault in opened.faults] == [True]
    await holder.close()
