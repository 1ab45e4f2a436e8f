"""The page of deliveries to the orchestrator."""

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

import asyncpg
import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from tests.api.test_deliveries import add
from tests.conftest import open_conversation, serving
from tests.console.browser import THEMES, WIDTHS, Tab, Theme, tab
from tests.console.calls import open_call
from tests.orchestrator_stand_in import SECRET, OrchestratorStandIn, orchestrator
from tests.waiting import PATIENCE

REFUSED: Final = {"attempts": 3, "last_status": 401, "last_error": "The orchestrator answered 401."}
GONE: Final = {"attempts": 1, "last_status": 410, "last_error": "The orchestrator answered 410."}


@pytest_asyncio.fixture(loop_scope="module")
async def shared_call(shared_connection: asyncpg.Connection) -> str:
    """A call with a delivery in each state."""
    call = await open_conversation(shared_connection)
    now = await shared_connection.fetchval("SELECT now()")
    await add(shared_connection, call, "delivered", attempts=1, last_status=204, delivered_at=now, last_attempt_at=now)
    await add(shared_connection, call, "failed", last_attempt_at=now, **REFUSED | {"attempts": 10})
    await add(shared_connection, call, "held", last_attempt_at=now, **GONE)
    await add(shared_connection, call, "pending", last_attempt_at=now, due_at=now + timedelta(hours=2), **REFUSED)
    return str(call)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_orchestrator() -> AsyncIterator[OrchestratorStandIn]:
    async with orchestrator() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_sending(shared_database_url: str, shared_orchestrator: OrchestratorStandIn) -> AsyncIterator[str]:
    """The address of a service that sends deliveries to the orchestrator."""
    environment = {
        "VERBATIM_ORCHESTRATOR_URL": shared_orchestrator.url,
        "VERBATIM_ORCHESTRATOR_SECRETS": json.dumps([SECRET]),
        "VERBATIM_ORCHESTRATOR_PRIVATE": "true",
    }
    with serving(shared_database_url, **environment) as address:
        yield address


def row(opened: Tab, state: str) -> Locator:
    return opened.page.locator(f"tbody tr:has(.state.{state})")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_the_list_is_accessible_and_fits_the_window(
    shared_browser: Browser, shared_address: str, shared_call: str, theme: Theme, width: int
) -> None:
    async with tab(shared_browser, shared_address, theme, width) as opened:
        await opened.open(f"#/deliveries?conversation_id={shared_call}")
        await expect(opened.page.locator("tbody tr")).to_have_count(4)
        await opened.photograph(f"deliveries-{theme}-{width}")
        assert await opened.violations() == []
        assert await opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.faults == []


async def test_each_delivery_says_how_it_stands_and_what_to_do(shared_tab: Tab, shared_call: str) -> None:
    await shared_tab.open(f"#/deliveries?conversation_id={shared_call}")
    await expect(row(shared_tab, "pending")).to_contain_text("The orchestrator answered 401.")
    await expect(row(shared_tab, "pending")).to_contain_text("VERBATIM_ORCHESTRATOR_SECRETS")
    await expect(row(shared_tab, "pending").locator("td").nth(4)).to_have_text(re.compile(r"\d\d:\d\d"))
    await expect(row(shared_tab, "failed").locator("td").nth(2)).to_have_text("10")
    await expect(row(shared_tab, "held")).to_contain_text("Send one again once it does")
    await expect(row(shared_tab, "delivered")).to_contain_text("The orchestrator answered 204.")
    for locator in await shared_tab.page.locator("tbody a").all():
        await expect(locator).to_have_attribute("href", f"#/calls/{shared_call}")
    await expect(shared_tab.page.locator(".meanings dt")).to_have_text(["pending", "delivered", "failed", "held"])


async def test_the_list_is_narrowed_to_a_state_and_one_key_shows_all(shared_tab: Tab, shared_call: str) -> None:
    await shared_tab.open(f"#/deliveries?conversation_id={shared_call}")
    await shared_tab.page.get_by_label("State").select_option("held")
    await expect(shared_tab.page.locator("tbody .state")).to_have_text(["held"])
    await expect(shared_tab.page).to_have_url(re.compile("state=held"))
    await shared_tab.page.locator("h1").focus()
    await shared_tab.page.keyboard.press("x")
    await expect(shared_tab.page.locator("tbody .state.failed").first).to_be_visible()


async def test_what_is_no_id_of_a_call_says_so(shared_browser: Browser, shared_address: str) -> None:
    async with tab(shared_browser, shared_address) as opened:
        await opened.open("#/deliveries?conversation_id=nothing")
        await expect(opened.page.get_by_role("alert")).to_contain_text("Call must be")


@pytest.mark.parametrize("answer", [(204, "accepted it, with 204."), (500, "The orchestrator answered 500.")])
async def test_a_delivery_is_sent_again_after_a_question_and_the_outcome_is_shown(
    shared_browser: Browser,
    shared_sending: str,
    shared_orchestrator: OrchestratorStandIn,
    shared_connection: asyncpg.Connection,
    answer: tuple[int, str],
) -> None:
    status, outcome = answer
    call = await open_conversation(shared_connection)
    identity = await add(shared_connection, call, "failed", **REFUSED | {"attempts": 10})
    shared_orchestrator.behaviours = iter([status])
    webhook = f"msg_{identity.replace('-', '')}"
    async with tab(shared_browser, shared_sending) as opened:
        page = opened.page
        await opened.open(f"#/deliveries?conversation_id={call}")
        button = page.get_by_role("button", name="Send again … the delivery of")
        # By keyboard alone; and it may be left.
        await button.press("Enter")
        await expect(page.get_by_role("dialog", name="Send it again?")).to_be_visible()
        assert await opened.violations() == []
        await expect(page.get_by_role("button", name="Leave it")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(button).to_be_focused()
        assert webhook not in shared_orchestrator.times

        await button.click()
        await opened.photograph("deliveries-ask")
        await page.get_by_role("button", name="Send it again", exact=True).click()
        await expect(page.get_by_role("dialog", name="Sent again").get_by_role("status")).to_contain_text(outcome)
        await opened.photograph(f"deliveries-outcome-{status}")
        assert await opened.violations() == []
        assert shared_orchestrator.times[webhook] == 1
        await page.keyboard.press("Escape")
        await expect(page.locator("tbody td").nth(2)).to_have_text("11")
        assert opened.faults == []


async def test_an_intent_of_a_call_appears_in_the_list_while_it_is_watched(
    shared_browser: Browser, shared_sending: str, shared_orchestrator: OrchestratorStandIn
) -> None:
    shared_orchestrator.behaviours = iter([])
    async with (
        tab(shared_browser, shared_sending) as opened,
        httpx.AsyncClient(base_url=f"{shared_sending}/api/v1", timeout=PATIENCE) as client,
    ):
        call = await open_call(client)
        await opened.open(f"#/deliveries?conversation_id={call}")
        await expect(opened.page.get_by_role("heading", name="No deliveries with these filters")).to_be_visible()
        intent = {"intent": "GOAL", "payload": {}}
        (await client.put(f"/conversations/{call}/intent", json=intent)).raise_for_status()
        await expect(opened.page.locator("tbody .state")).to_have_text(["delivered"])


async def test_without_deliveries_the_page_says_when_there_are_any(shared_browser: Browser, database_url: str) -> None:
    with serving(database_url) as address:
        async with tab(shared_browser, address) as opened:
            await opened.open("#/deliveries")
            await expect(opened.page.get_by_role("heading", name="No deliveries yet")).to_be_visible()
            await opened.photograph("deliveries-empty")
            assert await opened.violations() == []
