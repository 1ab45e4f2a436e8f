"""The page of search."""

import re
from dataclasses import dataclass
from typing import Final

import asyncpg
import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.api.test_search import SLOW
from tests.conftest import connect, serving
from tests.console.browser import THEMES, WIDTHS, Tab, Theme, tab
from tests.console.calls import HOSTILE, end, open_call, say
from tests.searching import INDEXED
from tests.waiting import PATIENCE, until_found

SAID: Final = (
    ("user", "🎉🎉 Nhắc tôi gọi nha sĩ 👩‍👧 Đặng nhé."),
    ("assistant", "Tôi đã ghi lại."),
    ("user", "Can the dentist see me tomorrow?"),
    ("assistant", "The dentist has time at nine."),
    ("user", "Thank you."),
    ("assistant", "You are welcome."),
    ("user", "明日、歯医者に電話してください。"),
)
MANY: Final = 25  # calls with one word each: more than a page
LONG: Final = "word " * 10_000 + "needle" + " word" * 1_000


@dataclass(frozen=True)
class Said:
    """The calls with something to be found."""

    spoken: str
    hostile: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_said(shared_address: str, shared_connection: asyncpg.Connection) -> Said:
    """Calls on record, and indexed."""
    async with httpx.AsyncClient(base_url=f"{shared_address}/api/v1", timeout=PATIENCE) as client:
        for number in range(MANY):
            call = await open_call(client)
            await say(client, call, f"Plentiful {number}")
            await end(client, call)
        spoken, hostile = await open_call(client), await open_call(client)
        for role, content in SAID:
            await say(client, spoken, content, role)
        for content in (*HOSTILE, LONG):
            await say(client, hostile, content)
    await until_found(shared_connection, INDEXED)
    return Said(spoken, hostile)


async def search(page: Page, words: str) -> None:
    """Type words into the field, and press Enter."""
    field = page.get_by_label("Words")
    await field.fill(words)
    await field.press("Enter")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_what_is_found_is_accessible_and_fits_the_window(
    shared_browser: Browser, shared_address: str, shared_said: Said, theme: Theme, width: int
) -> None:
    async with tab(shared_browser, shared_address, theme, width) as opened:
        for name, place in {"": "", "-found": "?q=dentist", "-plenty": "?q=plentiful", "-needle": "?q=needle"}.items():
            await opened.open(f"#/search{place}")
            await opened.photograph(f"search{name}-{theme}-{width}")
            assert await opened.violations() == []
            assert await opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.faults == []
    assert shared_said


async def test_hits_of_a_call_stand_together_with_what_was_said_around_them(shared_tab: Tab, shared_said: Said) -> None:
    await shared_tab.open("#/search?q=dentist")
    [found] = await shared_tab.page.locator(".found").all()
    await expect(found.get_by_role("link").first).to_have_attribute("href", f"#/calls/{shared_said.spoken}")
    # The two that were found and the ones beside them, each once.
    assert await found.locator("li .said").all_inner_texts() == [content for _, content in SAID[1:5]]
    assert await found.locator("mark").all_inner_texts() == ["dentist", "dentist"]
    await expect(shared_tab.page.locator(".summary")).to_contain_text("2 messages in 1 call. Searched up to ")


@pytest.mark.parametrize(
    ("words", "marked"),
    [("nha si dang", ["nha", "sĩ", "Đặng"]), ('"nha si"', ["nha sĩ"]), ("歯医者", ["歯医者"]), ("電話", ["電話"])],
)
async def test_the_letters_that_were_found_are_marked_also_behind_an_emoji(
    shared_tab: Tab, shared_said: Said, words: str, marked: list[str]
) -> None:
    await shared_tab.open("#/search")
    await search(shared_tab.page, words)
    await expect(shared_tab.page.locator("mark")).to_have_text(marked)
    assert shared_said


async def test_a_hit_leads_to_its_message_in_the_call(shared_tab: Tab, shared_said: Said) -> None:
    await shared_tab.open("#/search?q=歯医者")
    await shared_tab.page.locator(".found li a").click()
    await expect(shared_tab.page).to_have_url(re.compile(rf"#/calls/{shared_said.spoken}\?at={len(SAID)}$"))
    await expect(shared_tab.page.locator(".turns > .here")).to_contain_text("歯医者")


async def test_the_keyboard_alone_finds_and_opens_a_message(shared_tab: Tab, shared_said: Said) -> None:
    page = shared_tab.page
    await shared_tab.open()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Words")).to_be_focused()
    await page.keyboard.type("dentist")
    await page.keyboard.press("Enter")
    await expect(page.locator(".summary")).to_be_focused()
    for key in ("j", "j", "Enter"):
        await page.keyboard.press(key)
    await expect(page).to_have_url(re.compile(rf"{shared_said.spoken}\?at=4$"))
    await page.go_back()
    await expect(page.locator(".summary")).to_be_visible()
    await page.locator("h1").focus()
    await page.keyboard.press("/")
    await expect(page.get_by_label("Words")).to_be_focused()
    await expect(page.get_by_label("Words")).to_have_value("dentist")


async def test_hostile_words_are_shown_as_text(shared_tab: Tab, shared_said: Said) -> None:
    await shared_tab.open("#/search?q=onerror")
    found = shared_tab.page.locator(f".found:has(a[href='#/calls/{shared_said.hostile}'])")
    await expect(found.locator("li:has(mark) .said")).to_have_text(HOSTILE[0])
    await expect(found.locator(".beside")).to_contain_text("U+202E")
    await expect(shared_tab.page.locator("main :is(img, script)")).to_have_count(0)
    await expect(shared_tab.page).to_have_title("Search · Verbatim")


async def test_of_a_long_message_the_part_around_the_mark_is_shown(shared_tab: Tab, shared_said: Said) -> None:
    await shared_tab.open("#/search?q=needle")
    words = shared_tab.page.locator("li:has(mark) .words")
    await expect(words).to_have_text(re.compile(r"^… (word )+needle( word)+ …$"))
    assert len(await words.inner_text()) < 500
    assert shared_said


async def test_all_that_is_found_is_on_one_of_the_pages(shared_tab: Tab, shared_said: Said) -> None:
    await shared_tab.open("#/search?q=plentiful")
    await expect(shared_tab.page.locator(".summary")).to_contain_text("more on the next")
    found = await shared_tab.page.locator("li:has(mark)").all_inner_texts()
    await shared_tab.page.get_by_role("link", name="Next page").click()
    await expect(shared_tab.page.get_by_role("link", name="First page")).to_be_visible()
    await expect(shared_tab.page.locator("li:has(mark)")).to_have_count(MANY - len(found))
    found += await shared_tab.page.locator("li:has(mark)").all_inner_texts()
    assert len({text.split()[-1] for text in found}) == MANY
    assert shared_said


async def test_filters_stand_in_the_address_and_one_key_clears_them(shared_tab: Tab, shared_said: Said) -> None:
    page = shared_tab.page
    await shared_tab.open("#/search?q=dentist")
    await page.get_by_label("Role").select_option("assistant")
    await expect(page.locator("mark")).to_have_count(1)
    await page.get_by_label("Until").fill("2020-01-01")
    await page.get_by_label("Until").press("Enter")
    await expect(page.get_by_role("heading", name="No messages with these filters")).to_be_visible()
    await expect(page).to_have_url(re.compile("q=dentist&role=assistant&until=2020-01-01"))
    await page.locator("h1").focus()
    await page.keyboard.press("x")
    await expect(page.locator("mark")).to_have_count(2)
    assert shared_said


async def test_accents_count_where_the_reader_wants_them_to(shared_tab: Tab, shared_said: Said) -> None:
    await shared_tab.open("#/search?q=dang&accents=exact")
    await expect(shared_tab.page.get_by_text("accents exact")).to_be_visible()
    await search(shared_tab.page, "Đặng")
    await expect(shared_tab.page.locator("mark")).to_have_text(["Đặng"])
    assert shared_said


async def test_words_that_nobody_said_are_not_found(shared_tab: Tab, shared_said: Said) -> None:
    await shared_tab.open("#/search")
    await search(shared_tab.page, "orthodontist")
    await expect(shared_tab.page.get_by_role("heading", name="No messages with these words")).to_be_visible()
    await expect(shared_tab.page.get_by_label("Words")).to_be_focused()
    assert shared_said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-dentist", "The search must have a word that is to be found: of letters or digits, and without `-`."),
        ("a b c d e f g h i j k l m n o p q", "The search may have at most 16 words."),
        ("a" * 201, "The search must have at most 200 characters."),
    ],
)
async def test_what_cannot_be_searched_for_says_what_to_do(
    shared_browser: Browser, shared_address: str, words: str, sentence: str
) -> None:
    async with tab(shared_browser, shared_address) as opened:
        await opened.open("#/search?q=dentist")
        await search(opened.page, words)
        await expect(opened.page.get_by_role("alert")).to_contain_text(sentence)
        await expect(opened.page.locator("mark")).to_have_count(0)
        assert await opened.violations() == []


async def test_a_search_that_takes_too_long_is_to_be_narrowed_and_is_not_repeated(
    shared_browser: Browser, database_url: str
) -> None:
    with serving(database_url) as address:
        async with httpx.AsyncClient(base_url=f"{address}/api/v1", timeout=PATIENCE) as client:
            await say(client, await open_call(client), "Common words.")
        connection = await connect(database_url)
        await until_found(connection, INDEXED)
        await connection.execute(SLOW)
        await connection.close()
        async with tab(shared_browser, address) as opened:
            asked: list[str] = []
            opened.page.on("request", lambda request: asked.append(request.url))
            await opened.open("#/search?q=common")
            await expect(opened.page.get_by_role("alert")).to_contain_text("Add a word that is rarer")
            await expect(opened.page.locator(".banner")).to_be_hidden()
            await opened.photograph("search-too-slow")
            assert await opened.violations() == []
            assert len([url for url in asked if "/search?" in url]) == 1


async def test_a_service_without_search_says_so(shared_browser: Browser, shared_database_url: str) -> None:
    with serving(shared_database_url, VERBATIM_SEARCH="false") as address:
        async with tab(shared_browser, address) as opened:
            await opened.open("#/search?q=dentist")
            await expect(opened.page.get_by_role("alert")).to_contain_text("VERBATIM_SEARCH=false")
