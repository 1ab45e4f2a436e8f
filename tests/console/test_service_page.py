"""The page of the service's state."""

import re

import asyncpg
import pytest
from playwright.async_api import Browser, expect

from backend.dao_service.schema_revision import SCHEMA_REVISION
from tests import callers
from tests.conftest import serving
from tests.console.browser import THEMES, WIDTHS, Tab, Theme, tab

TABLES = "Tables with their indexes"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_the_state_is_accessible_and_fits_the_window(
    shared_browser: Browser, shared_address: str, theme: Theme, width: int
) -> None:
    async with tab(shared_browser, shared_address, theme, width) as opened:
        await opened.open("#/service")
        await opened.photograph(f"service-{theme}-{width}")
        assert await opened.violations() == []
        assert await opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.faults == []


async def test_the_state_of_all_parts_is_said_in_words(shared_tab: Tab) -> None:
    await shared_tab.open("#/service")
    main = shared_tab.page.locator("main")
    await expect(main.get_by_role("heading", name="Ready: messages are recorded")).to_be_visible()
    # The tests' own server does not write to the disk before it acknowledges.
    await expect(main).to_contain_text("A message that was acknowledged survives nothing for certain.")
    await expect(main.locator(".bad").first).to_contain_text("PostgreSQL runs with fsync = off")
    await expect(main).to_contain_text(f"{SCHEMA_REVISION}, that of this release.")
    await expect(main).to_contain_text("1, of the server that answers")
    await expect(main).to_contain_text(re.compile(rf"\d+ connections? of release {SCHEMA_REVISION}"))
    await expect(main.get_by_role("link", name="0 deliveries").nth(2)).to_have_attribute(
        "href", "#/deliveries?state=failed"
    )
    await expect(main).to_contain_text("New messages are found within seconds.")
    await expect(main.get_by_role("table", name=TABLES).get_by_role("row", name="messages").first).to_be_visible()


async def test_a_part_that_cannot_be_read_says_so_and_the_page_neither_jumps_nor_forgets_the_focus(
    shared_tab: Tab, shared_connection: asyncpg.Connection
) -> None:
    page = shared_tab.page
    await page.set_viewport_size({"width": 320, "height": 400})
    await shared_tab.open("#/service")
    await page.get_by_role("table", name=TABLES).scroll_into_view_if_needed()
    sizes = page.get_by_role("heading", name="Sizes")
    await sizes.evaluate("element => { globalThis.before = element; }")
    await page.get_by_role("link", name="deliveries").last.focus()
    focused = await page.evaluate("document.activeElement.href")
    scrolled = await page.evaluate("scrollY")
    read = page.locator(".heading time")
    first = await read.inner_text()
    await expect(read).not_to_have_text(first)
    assert await page.evaluate("scrollY") == scrolled
    assert await page.evaluate("document.activeElement.href") == focused
    assert await sizes.evaluate("element => element === globalThis.before")

    await shared_connection.execute("ALTER TABLE search_progress RENAME TO elsewhere")
    try:
        await expect(page.get_by_text("Could not be read: ")).to_be_visible()
        await shared_tab.photograph("service-unknown")
        assert await shared_tab.violations() == []
        assert await page.evaluate("document.activeElement.href") == focused
        assert await sizes.evaluate("element => element === globalThis.before")
    finally:
        await shared_connection.execute("ALTER TABLE elsewhere RENAME TO search_progress")
    await expect(page.get_by_text("Could not be read")).to_have_count(0)


async def test_a_person_without_the_scope_sees_a_sentence(
    shared_browser: Browser, shared_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    issuers = callers.issuers(tmp_path_factory.mktemp("issuers"))
    setting = f"[{','.join(issuer.model_dump_json(exclude_none=True) for issuer in issuers)}]"
    token = callers.person("a person of the console")["authorization"].removeprefix("Bearer ")
    with serving(shared_database_url, VERBATIM_AUTH_ISSUERS=setting) as address:
        async with tab(shared_browser, address) as opened:
            await opened.open(token=token)
            for place in ("Service", "Deliveries"):
                await opened.page.get_by_role("link", name=place).click()
                alert = opened.page.get_by_role("alert")
                await expect(alert).to_contain_text("needs a token with the scope deliveries:manage")
                await opened.photograph(f"forbidden-{place.lower()}")
                assert await opened.violations() == []
