"""The page of one call."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, expect

from tests.conftest import serving
from tests.console import one_call
from tests.console.browser import THEMES, WIDTHS, Tab, Theme, tab
from tests.console.calls import HOSTILE, Calls, end, open_call, say
from tests.ports import free_ports
from tests.waiting import PATIENCE

PART = 200  # messages that the page shows at a time
LOOKS = [(theme, width) for theme in THEMES for width in WIDTHS]


@dataclass(frozen=True)
class Made:
    """The ids of the calls of this module."""

    eventful: str
    languages: str
    long: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_client(shared_address: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{shared_address}/api/v1", timeout=PATIENCE) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_made(shared_client: httpx.AsyncClient) -> Made:
    return Made(
        eventful=await one_call.eventful(shared_client),
        languages=await one_call.spoken_in_many_languages(shared_client),
        long=await one_call.long(shared_client, 3 * PART + 1),
    )


def rows(page: Page) -> Locator:
    return page.locator(".turns > li")


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("which", ["eventful", "languages", "long"])
async def test_a_call_is_accessible_and_fits_the_window(
    shared_browser: Browser, shared_address: str, shared_made: Made, which: str, look: tuple[Theme, int]
) -> None:
    theme, width = look
    async with tab(shared_browser, shared_address, theme, width) as opened:
        await opened.open(f"#/calls/{getattr(shared_made, which)}")
        await opened.page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        await opened.settle()
        await opened.photograph(f"call-{which}-{theme}-{width}")
        assert await opened.violations() == []
        assert await opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.faults == []


async def test_the_top_says_what_is_missing(shared_tab: Tab, shared_made: Made) -> None:
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    facts = shared_tab.page.locator(".facts")
    await expect(facts).to_contain_text("3 events missing")
    await expect(facts).to_contain_text("events 26\N{EN DASH}27")
    await expect(facts).to_contain_text("1 event that the phone gave up")


async def test_the_top_says_that_a_call_is_complete(shared_tab: Tab, shared_client: httpx.AsyncClient) -> None:
    begun = (await shared_client.post("/voice/sessions", json={})).raise_for_status().json()
    path = f"/voice/sessions/{begun['id']}"
    (await shared_client.post(f"{path}/end", json={"last_client_sequence": 0})).raise_for_status()
    await shared_tab.open(f"#/calls/{begun['conversation_id']}")
    await expect(shared_tab.page.locator(".facts")).to_contain_text("✓ complete")
    await expect(shared_tab.page.get_by_text("Nothing was said in this call.")).to_be_visible()


async def test_a_timeline_says_in_words_and_as_a_table_what_it_draws(shared_tab: Tab, shared_made: Made) -> None:
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    figure = shared_tab.page.locator("figure", has=shared_tab.page.get_by_role("heading", name="Timeline"))
    await expect(figure.locator("figcaption")).to_contain_text(
        "1 function call; 1 reconnect; 1 incident; 1 late message; 1 loss at the phone."
    )
    for lane in ("user", "assistant", "functions", "connections", "incidents"):
        await expect(figure.locator("svg").get_by_text(lane, exact=True)).to_be_visible()
    for mark in ("break", "silence", "error", "interruption"):
        await expect(figure.locator(f"svg .{mark}").first).to_be_attached()
    await expect(figure.locator("svg .estimated").first).to_be_attached()
    await figure.get_by_text("The same as a table").click()
    for row in ("interruption", "reconnect", "silence", "move_task", "estimated"):
        await expect(figure.get_by_role("row", name=re.compile(row)).first).to_be_visible()


async def test_a_click_on_the_timeline_leads_to_what_was_said(shared_tab: Tab, shared_made: Made) -> None:
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    notch = shared_tab.page.locator("svg .interruption").last
    await notch.hover()
    await expect(shared_tab.page.locator(".readout").first).to_contain_text("It is moved to")
    await notch.click()
    await expect(rows(shared_tab.page).and_(shared_tab.page.locator(":focus"))).to_contain_text("It is moved to")


async def test_latencies_are_stacked_and_a_row_of_their_table_leads_to_the_answer(
    shared_tab: Tab, shared_made: Made
) -> None:
    page = shared_tab.page
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    latency = page.locator("#latency")
    await expect(latency.locator("figcaption")).to_contain_text("p50 900 ms, p95 1.60 s of 3 answers")
    await expect(latency.locator("figcaption")).to_contain_text("the slowest took 1.60 s")
    await page.keyboard.press("l")
    await expect(latency.locator("summary")).to_be_focused()
    row = latency.get_by_role("row", name=re.compile(r"1\.60 s 200 ms 1\.00 s 300 ms"))
    await row.get_by_role("link").click()
    await expect(rows(page).and_(page.locator(":focus"))).to_contain_text("It is moved to Friday at nine.")
    await expect(page).to_have_url(re.compile(r"\?at=\d+$"))


async def test_of_an_interrupted_answer_it_shows_what_was_heard_and_folds_what_was_meant(
    shared_tab: Tab, shared_made: Made
) -> None:
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    row = rows(shared_tab.page).filter(has_text="What it was going to say")
    await expect(row).to_contain_text("interrupted")
    await expect(row.get_by_text(one_call.MEANT)).to_be_hidden()
    await row.get_by_text("What it was going to say").click()
    await expect(row.get_by_text(one_call.MEANT)).to_be_visible()


async def test_a_function_is_one_line_with_its_arguments_as_they_came(shared_tab: Tab, shared_made: Made) -> None:
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    row = shared_tab.page.locator("[data-call]")
    await expect(row).to_have_count(1)
    await expect(row).to_contain_text('move_task → {"moved": true} 240 ms')
    await row.locator("summary").click()
    assert await row.locator("pre").first.text_content() == '{"task": "dentist",  "day": 5}'


async def test_keys_lead_to_turns_interruptions_functions_incidents_and_details(
    shared_tab: Tab, shared_made: Made
) -> None:
    page = shared_tab.page
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    for key, text in (
        ("n", "Wait, what is it worth?"),
        ("n", "Could you move the dentist"),
        ("f", "move_task"),
        ("i", "It is moved to Friday"),
        ("n", "No, at ten please."),
        ("e", "Reconnected after"),
        ("e", "CLIENT_MESSAGE_TIMEOUT"),
        ("p", "No, at ten please."),
    ):
        await page.keyboard.press(key)
        await expect(page.locator(":focus")).to_contain_text(text)
    await page.keyboard.press("d")
    await expect(page.get_by_role("heading", name="Details")).to_be_focused()
    await page.keyboard.press("f")
    await page.keyboard.press("f")
    await expect(page.get_by_role("status").filter(has_text="No further function call")).to_be_attached()


async def test_a_late_message_is_marked_where_it_was_said(shared_tab: Tab, shared_made: Made) -> None:
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    await expect(rows(shared_tab.page).first).to_contain_text("Wait, what is it worth?")
    await expect(rows(shared_tab.page).first).to_contain_text("late: recorded")


async def test_details_hold_sessions_receipts_events_incidents_and_the_intent(
    shared_tab: Tab, shared_made: Made
) -> None:
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    details = shared_tab.page.locator(".details")
    for text in ("vs_", "hangup", "25 of 27 received", "reschedule task", '"task": "dentist"', "2 connections"):
        await expect(details).to_contain_text(text)
    await details.get_by_text("1 incident").click()
    await expect(details).to_contain_text("CLIENT_MESSAGE_TIMEOUT")


async def test_a_transcript_is_saved_as_the_service_sends_it(
    shared_tab: Tab, shared_made: Made, shared_client: httpx.AsyncClient
) -> None:
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    async with shared_tab.page.expect_download() as saving:
        await shared_tab.page.get_by_role("button", name="JSON lines").click()
    saved = await (await saving.value).path()
    path = f"/conversations/{shared_made.eventful}/transcript?format=jsonl"
    assert saved.read_bytes() == (await shared_client.get(path)).content


async def test_hostile_words_are_text(shared_tab: Tab, shared_calls: Calls) -> None:
    page = shared_tab.page
    await shared_tab.open(f"#/calls/{shared_calls.hostile}")
    said = page.locator(".turns .said")
    for place, words in enumerate(HOSTILE):
        seen = re.sub("[\u2066-\u2069\u202a-\u202e\ufeff]", lambda found: f"U+{ord(found[0]):04X}", words)
        await expect(said.nth(place)).to_have_text(seen)
    await page.get_by_role("button", name="Show all 65,536 characters").click()
    await expect(said.last).to_have_text("x" * 65_536)
    await expect(page).to_have_title(re.compile("^Call of"))
    assert await page.evaluate("document.documentElement.scrollWidth") <= 1280


async def test_each_message_has_its_language_and_direction(shared_tab: Tab, shared_made: Made) -> None:
    await shared_tab.open(f"#/calls/{shared_made.languages}")
    said = shared_tab.page.locator(".turns .said")
    assert [await each.get_attribute("lang") for each in await said.all()] == ["ar", "th", "ja", ""]
    assert await said.first.evaluate("each => each.matches(':dir(rtl)')")


async def test_parts_of_a_long_transcript_are_turned_without_a_gap(shared_tab: Tab, shared_made: Made) -> None:
    page = shared_tab.page
    await shared_tab.open(f"#/calls/{shared_made.long}")
    seen = await places(page)
    while await page.get_by_role("button", name="Later messages").count():
        await page.get_by_role("button", name="Later messages").click()
        await part_shown(page, seen[-1] + 1, of=3 * PART + 1)
        seen += await places(page)
    assert seen == list(range(1, 3 * PART + 2))
    await page.get_by_role("button", name="Earlier messages").click()
    await part_shown(page, 2 * PART + 1, of=3 * PART + 1)
    assert await places(page) == list(range(2 * PART + 1, 3 * PART + 1))


@pytest.mark.parametrize("by_time", [False, True], ids=["sequence", "time"])
async def test_an_address_leads_to_a_message_in_the_middle(
    shared_tab: Tab, shared_made: Made, shared_client: httpx.AsyncClient, by_time: bool
) -> None:
    query: dict[str, str | int] = {"order": "recorded", "after_sequence": 349, "limit": 1}
    found = (await shared_client.get(f"/conversations/{shared_made.long}/messages", params=query)).json()["data"][0]
    at = found["timestamp"] if by_time else found["sequence"]
    await shared_tab.open(f"#/calls/{shared_made.long}?at={at}")
    await expect(shared_tab.page.locator(":focus")).to_contain_text(found["content"])
    await expect(shared_tab.page.locator(":focus")).to_be_in_viewport()
    await shared_tab.page.get_by_role("button", name="Earlier messages").click()
    await expect(shared_tab.page.locator(".turns a[href$='at=299']")).to_be_visible()


async def test_a_call_that_goes_on_is_followed_and_a_pause_counts_what_is_said(
    shared_tab: Tab, shared_client: httpx.AsyncClient
) -> None:
    page = shared_tab.page
    call = await open_call(shared_client)
    await say(shared_client, call, "Is anyone there?")
    await shared_tab.open(f"#/calls/{call}")
    await expect(page.get_by_role("log")).to_have_attribute("aria-live", "off")
    await page.get_by_label("Read new lines aloud").check()
    await expect(page.get_by_role("log")).to_have_attribute("aria-live", "polite")
    await say(shared_client, call, "Hello, I hear you.", "assistant")
    await expect(rows(page)).to_have_count(2)
    await page.locator("h1").focus()
    await page.keyboard.press(".")
    await expect(page.get_by_role("button", name="Go on")).to_be_visible()
    await say(shared_client, call, "Good.")
    await say(shared_client, call, "Then listen.")
    await expect(page.get_by_role("button", name="2 new lines")).to_be_visible()
    await expect(rows(page)).to_have_count(2)
    await page.keyboard.press(".")
    await expect(rows(page)).to_have_count(4)
    await say(shared_client, call, "And do it.")
    await expect(rows(page).last).to_contain_text("And do it.")
    await end(shared_client, call)
    await expect(page.locator(".facts")).to_contain_text("ended")
    await expect(page.get_by_role("log")).to_have_count(0)


async def test_a_call_is_followed_on_when_the_service_restarts(
    shared_browser: Browser, shared_database_url: str, shared_client: httpx.AsyncClient
) -> None:
    port = str(free_ports(1)[0])
    call = await open_call(shared_client)
    await say(shared_client, call, "Before.")
    with serving(shared_database_url, "--port", port) as address:
        opening = tab(shared_browser, address)
        opened = await opening.__aenter__()
        await opened.open(f"#/calls/{call}")
        await say(shared_client, call, "While it serves.")
        await expect(rows(opened.page)).to_have_count(2)
    try:
        await expect(opened.page.get_by_text("No answer from the service")).to_be_visible()
        await say(shared_client, call, "While it does not.")
        with serving(shared_database_url, "--port", port):
            await expect(rows(opened.page)).to_have_count(3)
            await say(shared_client, call, "Afterwards.")
            await expect(rows(opened.page)).to_have_count(4)
            await expect(opened.page.get_by_text("No answer from the service")).to_be_hidden()
    finally:
        await opening.__aexit__(None, None, None)


async def test_a_call_that_is_erased_while_it_is_open_says_so(
    shared_browser: Browser, shared_address: str, shared_client: httpx.AsyncClient
) -> None:
    call = await open_call(shared_client)
    await say(shared_client, call, "Forget this.")
    async with tab(shared_browser, shared_address) as opened:
        await opened.open(f"#/calls/{call}")
        await expect(opened.page.get_by_text("Forget this.")).to_be_visible()
        (await shared_client.delete(f"/conversations/{call}")).raise_for_status()
        await expect(opened.page.get_by_role("heading", name="This call was erased")).to_be_visible()
        await expect(opened.page.get_by_text("Forget this.")).to_have_count(0)
        assert await opened.violations() == []


async def test_a_call_is_erased_only_after_a_question(shared_tab: Tab, shared_client: httpx.AsyncClient) -> None:
    page = shared_tab.page
    call = await open_call(shared_client)
    await end(shared_client, call)
    await shared_tab.open(f"#/calls/{call}")
    await page.get_by_role("button", name="Erase this call").click()
    await page.get_by_role("button", name="Leave it").click()
    assert (await shared_client.get(f"/conversations/{call}")).is_success
    await page.get_by_role("button", name="Erase this call").click()
    await page.get_by_role("button", name="Erase it").click()
    await expect(page.get_by_role("heading", name="This call was erased")).to_be_visible()
    assert (await shared_client.get(f"/conversations/{call}")).status_code == httpx.codes.NOT_FOUND


@pytest.mark.parametrize("place", ["00000000-0000-4000-8000-000000000000", "none"])
async def test_a_call_that_is_missing_is_a_sentence(shared_browser: Browser, shared_address: str, place: str) -> None:
    async with tab(shared_browser, shared_address) as opened:
        await opened.page.goto(f"{shared_address}/console/#/calls/{place}")
        await expect(opened.page.get_by_role("heading", name="No such call")).to_be_visible()
        assert await opened.violations() == []


async def test_why_the_orchestrator_was_not_told_stands_at_the_top(shared_tab: Tab, shared_made: Made) -> None:
    failed = {
        "id": "00000000-0000-4000-8000-000000000001",
        "conversation_id": shared_made.eventful,
        "type": "intent.extracted",
        "state": "pending",
        "attempts": 3,
        "created_at": "2026-01-01T00:00:00Z",
        "due_at": "2026-01-01T00:00:08Z",
        "delivered_at": None,
        "last_attempt_at": "2026-01-01T00:00:04Z",
        "last_status": 500,
        "last_error": "The orchestrator answered 500.",
        "webhook_id": "msg_1",
    }
    await _answer(shared_tab.page, "**/api/v1/deliveries?*", {"data": [failed], "next_cursor": None, "has_more": False})
    await shared_tab.open(f"#/calls/{shared_made.eventful}")
    facts = shared_tab.page.locator(".facts")
    await expect(facts).to_contain_text("not told after 3 attempts, the next at")
    await expect(facts).to_contain_text("status 500: The orchestrator answered 500.")


async def test_of_ten_thousand_messages_as_many_are_on_the_page_as_a_browser_renders_at_once(
    shared_tab: Tab, shared_client: httpx.AsyncClient
) -> None:
    page = shared_tab.page
    call = await one_call.long(shared_client, 10_000)
    await shared_tab.open(f"#/calls/{call}")
    await expect(page.locator("#latency figcaption")).to_contain_text("5,000 answers")
    for part in range(1, 5):
        await page.get_by_role("button", name="Later messages").click()
        await part_shown(page, part * PART + 1, of=10_000)
        assert await rows(page).count() == PART
    assert await page.locator("svg *").count() < 5 * 1280  # lanes, pixels of the window


async def part_shown(page: Page, first: int, *, of: int) -> None:
    """Wait until a part of a call of so many messages is shown; its halves come in tasks of their own."""
    for place in (first, min(first + PART - 1, of)):
        await expect(page.locator(f".turns a[href$='at={place}']")).to_be_visible()


async def places(page: Page) -> list[int]:
    """Return the places of the messages that are shown."""
    links = await page.locator(".turns .place").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    return [int(link.rpartition("=")[2]) for link in links]


async def _answer(page: Page, pattern: str, body: dict[str, Any]) -> None:
    await page.route(pattern, lambda route: route.fulfill(body=json.dumps(body), content_type="application/json"))
