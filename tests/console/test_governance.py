"""The page of retention, holds and the audit."""

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, expect

from tests.conftest import open_conversation, utterance
from tests.console.browser import THEMES, WIDTHS, Tab, Theme, tab


async def held(address: str, connection: asyncpg.Connection, reason: str) -> str:
    conversation = str(await open_conversation(connection))
    async with httpx.AsyncClient(base_url=f"{address}/api/v1/conversations/{conversation}") as client:
        assert (await client.put("/hold", json={"reason": reason})).status_code == 200
    return conversation


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_the_page_is_accessible_and_fits_the_window(
    shared_browser: Browser, shared_address: str, shared_connection: asyncpg.Connection, theme: Theme, width: int
) -> None:
    await held(shared_address, shared_connection, "A case with a <b>long</b> name " * 5)
    async with tab(shared_browser, shared_address, theme, width) as opened:
        await opened.open("#/governance")
        await expect(opened.page.get_by_role("table", name="What was done to the record").first).to_be_visible()
        await opened.photograph(f"governance-{theme}-{width}")
        assert await opened.violations() == []
        assert await opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.faults == []


async def test_a_call_on_hold_is_released_after_a_question_and_the_audit_tells(
    shared_tab: Tab, shared_address: str, shared_connection: asyncpg.Connection
) -> None:
    call = await held(shared_address, shared_connection, "Case 2026-17")
    page = shared_tab.page
    await shared_tab.open(f"#/governance?conversation_id={call}")
    await expect(page.get_by_text("no period is configured")).to_be_visible()
    audit = page.get_by_role("table", name="What was done to the record, the newest first")
    await expect(audit.locator("tbody tr")).to_have_count(1)
    row = page.get_by_role("table", name="Calls on hold").locator("tbody tr").filter(has_text="Case 2026-17").first
    await row.get_by_role("button", name="Release …").click()
    await page.get_by_role("button", name="Release it").click()
    await expect(audit.locator("tbody tr")).to_have_count(2)
    await expect(audit).to_contain_text("conversation.released")
    await page.get_by_label("Action").select_option("message.redacted")
    await expect(page.get_by_text("No entries with these filters")).to_be_visible()


async def test_words_of_a_message_are_redacted_after_a_question(
    shared_tab: Tab, shared_address: str, shared_connection: asyncpg.Connection
) -> None:
    call = await open_conversation(shared_connection)
    async with httpx.AsyncClient(base_url=f"{shared_address}/api/v1") as client:
        for words in ("Hello.", "My \U0001f4b3 is 4111."):
            assert (await client.post("/voice/messages", json=utterance(call, words))).status_code == 201
        ended = await client.post(f"/conversations/{call}/end")
        assert ended.status_code == 200
    page = shared_tab.page
    await shared_tab.open(f"#/calls/{call}?at=2")
    said = page.locator("main li.user").nth(1)
    await said.get_by_role("button", name="Redact …").click()
    await page.get_by_label("Reason").fill("Card number")
    await page.get_by_label("Only these words").fill("4111")
    await page.get_by_role("button", name="Redact it").click()
    await expect(said).to_contain_text("is [redacted].")
    await expect(said).not_to_contain_text("4111")
    await expect(page.get_by_role("button", name="Redact …")).to_have_count(1)  # of the message that the address names


async def test_a_message_that_is_redacted_while_it_is_watched_loses_its_words(
    shared_tab: Tab, shared_address: str, shared_connection: asyncpg.Connection
) -> None:
    call = await open_conversation(shared_connection)
    message = utterance(call, "My card is 4111.")
    async with httpx.AsyncClient(base_url=f"{shared_address}/api/v1") as client:
        assert (await client.post("/voice/messages", json=message)).status_code == 201
        await shared_tab.open(f"#/calls/{call}")
        said = shared_tab.page.locator("main li.user")
        await expect(said).to_contain_text("My card is 4111.")
        body = {"reason": "Card number", "ranges": [[11, 15]]}
        where = f"/conversations/{call}/messages/{message['id']}/redact"
        assert (await client.post(where, json=body)).status_code == 200
    await expect(said).to_contain_text("My card is [redacted].")
    await expect(said).to_contain_text("redacted: Card number")
    await expect(said).not_to_contain_text("4111")
