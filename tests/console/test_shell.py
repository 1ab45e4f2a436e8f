"""What surrounds all pages: the sign-in, the keys, the head, and what they say while the service does not answer."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, expect

from backend.dao_service.connection.database import Database
from backend.services import service_tokens
from backend.vocabulary import Scope
from tests import callers
from tests.conftest import serving, settings_for
from tests.console.browser import THEMES, WIDTHS, Tab, Theme, profile, tab
from tests.console.calls import Calls, end, open_call, say
from tests.ports import free_ports

TOKEN_FIELD = "Token"


@pytest.fixture(scope="module")
def shared_guarded(shared_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service on the same database that wants a token."""
    issuers = callers.issuers(tmp_path_factory.mktemp("issuers"))
    setting = f"[{','.join(issuer.model_dump_json(exclude_none=True) for issuer in issuers)}]"
    with serving(shared_database_url, VERBATIM_AUTH_ISSUERS=setting) as address:
        yield address


async def _token(url: str, service: str) -> tuple[int, str]:
    database = Database(settings_for(url).database_url or "")
    try:
        token, made = await service_tokens.create(database, service, [Scope.CONVERSATIONS_READ_ANY], timedelta(hours=8))
    finally:
        await database.close()
    return made.id, token


async def _revoke(url: str, token: int) -> None:
    database = Database(settings_for(url).database_url or "")
    try:
        await service_tokens.revoke(database, token)
    finally:
        await database.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
async def test_the_sign_in_is_accessible(
    shared_browser: Browser, shared_guarded: str, theme: Theme, width: int
) -> None:
    async with tab(shared_browser, shared_guarded, theme, width) as opened:
        await opened.page.goto(f"{shared_guarded}/console/")
        field = opened.page.get_by_label(TOKEN_FIELD)
        await expect(field).to_be_focused()
        await expect(field).to_have_attribute("type", "password")
        await expect(field).to_have_attribute("autocomplete", "current-password")
        await opened.photograph(f"sign-in-{theme}-{width}")
        assert await opened.violations() == []


async def test_a_token_that_is_entered_opens_the_page_behind(
    shared_browser: Browser, shared_guarded: str, shared_database_url: str, shared_calls: Calls
) -> None:
    _, token = await _token(shared_database_url, "entering")
    async with tab(shared_browser, shared_guarded) as opened:
        await opened.page.goto(f"{shared_guarded}/console/#/calls?intent=RESCHEDULE_TASK")
        await opened.sign_in("vbt_wrong")
        await expect(opened.page.get_by_text("not accepted here")).to_be_visible()
        await opened.sign_in(f"  {token}\n")
        await expect(opened.page.locator("tbody a")).to_have_attribute("href", f"#/calls/{shared_calls.spoken}")
        await expect(opened.page.locator("dialog")).to_have_count(0)


async def test_the_token_stands_in_no_address_history_storage_or_request_but_one_header(
    shared_browser: Browser, shared_guarded: str, shared_database_url: str, shared_calls: Calls
) -> None:
    _, token = await _token(shared_database_url, "hiding")
    async with tab(shared_browser, shared_guarded) as opened:
        page = opened.page
        sent: list[tuple[str, dict[str, str]]] = []
        page.on("request", lambda request: sent.append((request.url.partition("#")[0], request.headers)))
        await opened.open(token=token)
        assert await page.locator("tbody tr").count() > 1
        await page.locator(f"a[href='#/calls/{shared_calls.spoken}']").click()

        assert token not in page.url
        lines = await page.context.new_cdp_session(page)
        history: dict[str, Any] = await lines.send("Page.getNavigationHistory")
        assert all(token not in entry["url"] for entry in history["entries"])
        kept = await page.evaluate(
            "async () => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, document.referrer,"
            " history.state, name, await indexedDB.databases(), await caches.keys()])"
        )
        assert token not in kept
        assert token not in await page.content()
        for url, headers in sent:
            assert token not in url
            assert [name for name, value in headers.items() if token in value] in ([], ["authorization"])
        assert any("authorization" in headers for _, headers in sent)
        refused = ("401 (Unauthorized)", "403 (Forbidden)")  # before the sign-in, and for the deliveries of the call
        assert [fault for fault in opened.faults if not any(answer in fault for answer in refused)] == []


async def test_the_browser_keeps_where_the_reader_was_and_nothing_of_the_token(
    shared_guarded: str, shared_database_url: str, tmp_path: Path
) -> None:
    _, token = await _token(shared_database_url, "keeping")
    async with profile(tmp_path, shared_guarded) as opened:
        await opened.open("#/search?q=whereabouts", token)
    kept = _bytes_in(tmp_path)
    assert b"whereabouts" in kept
    assert token.encode() not in kept
    assert token.encode("utf-16-le") not in kept


async def test_a_reload_forgets_the_token(
    shared_browser: Browser, shared_guarded: str, shared_database_url: str
) -> None:
    _, token = await _token(shared_database_url, "forgetting")
    async with tab(shared_browser, shared_guarded) as opened:
        await opened.open(token=token)
        await opened.page.get_by_role("button", name="Sign out").click()
        await expect(opened.page.get_by_label(TOKEN_FIELD)).to_be_focused()
        await expect(opened.page.locator("tbody tr")).to_have_count(0)


async def test_a_token_that_runs_out_is_asked_for_over_the_page_which_goes_on(
    shared_browser: Browser, shared_guarded: str, shared_database_url: str, shared_calls: Calls
) -> None:
    number, token = await _token(shared_database_url, "running-out")
    _, another = await _token(shared_database_url, "running-out")
    async with tab(shared_browser, shared_guarded) as opened:
        await opened.open(token=token)
        rows = opened.page.locator("tbody tr")
        shown = await rows.count()
        await _revoke(shared_database_url, number)
        await expect(opened.page.get_by_text("The token has expired")).to_be_visible()
        await expect(rows).to_have_count(shown)
        await opened.sign_in(another)
        await expect(opened.page.locator("dialog")).to_have_count(0)
        await expect(opened.page.locator("[aria-busy=true]")).to_have_count(0)
        await expect(rows).to_have_count(shown)
    assert shared_calls


async def test_a_person_sees_their_own_calls_alone(
    shared_browser: Browser, shared_guarded: str, shared_calls: Calls
) -> None:
    mine = callers.person("a person of the console")
    async with httpx.AsyncClient(base_url=f"{shared_guarded}/api/v1", headers=mine) as client:
        call = await open_call(client)
        await say(client, call, "This is mine.")
    async with tab(shared_browser, shared_guarded) as opened:
        await opened.open(token=mine["authorization"].removeprefix("Bearer "))
        await expect(opened.page.locator("tbody a")).to_have_attribute("href", f"#/calls/{call}")
        await opened.page.evaluate("call => (location.hash = `#/calls/${call}`)", shared_calls.spoken)
        await expect(opened.page.get_by_text("There is no call with this id, or it is not yours.")).to_be_visible()


async def test_a_service_that_restarts_is_waited_for(
    shared_browser: Browser, shared_database_url: str, shared_calls: Calls
) -> None:
    port = str(free_ports(1)[0])
    with serving(shared_database_url, "--port", port) as address:
        opening = tab(shared_browser, address)
        opened = await opening.__aenter__()
        await opened.open()
        shown = await opened.page.locator("tbody tr").count()
    try:
        banner = opened.page.get_by_text("No answer from the service")
        await expect(banner).to_be_visible()
        await expect(opened.page.get_by_text("As of")).to_be_visible()
        await expect(opened.page.locator("tbody tr")).to_have_count(shown)
        with serving(shared_database_url, "--port", port):
            await expect(banner).to_be_hidden()
            await expect(opened.page.get_by_text("As of")).to_have_count(0)
    finally:
        await opening.__aexit__(None, None, None)
    assert shared_calls


async def test_without_a_network_the_page_says_so_and_goes_on_afterwards(
    shared_browser: Browser, shared_address: str, shared_calls: Calls
) -> None:
    async with tab(shared_browser, shared_address) as opened:
        await opened.open()
        await opened.page.context.set_offline(True)
        await expect(opened.page.get_by_text("No answer from the service")).to_be_visible()
        await opened.photograph("offline")
        assert await opened.violations() == []
        await opened.page.context.set_offline(False)
        await expect(opened.page.get_by_text("No answer from the service")).to_be_hidden()
    assert shared_calls


async def test_the_keys_are_listed_and_can_be_switched_off(shared_tab: Tab, shared_calls: Calls) -> None:
    page = shared_tab.page
    await shared_tab.open()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keys")).to_contain_text("Next row")
    await shared_tab.photograph("keys")
    assert await shared_tab.violations() == []
    await page.get_by_label("Keys of one character are on").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("j")
    await expect(page.locator("tbody a:focus")).to_have_count(0)
    await page.reload()
    await shared_tab.settle()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("button", name="Keys").click()
    await page.get_by_label("Keys of one character are on").check()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Keys")).to_be_focused()
    await page.keyboard.press("j")
    await expect(page.locator("tbody a:focus")).to_have_count(1)
    assert shared_calls


async def test_a_key_that_is_typed_into_a_field_is_text(shared_tab: Tab) -> None:
    await shared_tab.open()
    field = shared_tab.page.get_by_label("Who")
    await field.press_sequentially("jx?")
    await expect(field).to_have_value("jx?")
    await expect(shared_tab.page.get_by_role("dialog")).to_have_count(0)


async def test_the_first_tab_stop_skips_the_head(shared_tab: Tab) -> None:
    await shared_tab.open()
    await shared_tab.page.keyboard.press("Tab")
    await expect(shared_tab.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await shared_tab.page.keyboard.press("Enter")
    await expect(shared_tab.page.locator("main")).to_be_focused()
    await expect(shared_tab.page).to_have_url(re.compile("#/calls$"))


async def test_an_address_that_has_no_page_says_so(shared_tab: Tab) -> None:
    await shared_tab.open("#/nowhere/at/all")
    await expect(shared_tab.page.get_by_role("heading", name="No such page")).to_be_visible()
    await expect(shared_tab.page).to_have_title("No such page · Verbatim")
    await shared_tab.page.get_by_role("link", name="See all calls").click()
    await expect(shared_tab.page.get_by_role("heading", name="Calls")).to_be_focused()


async def test_a_call_that_begins_while_the_list_is_watched_appears_on_top(
    shared_tab: Tab, shared_address: str, shared_calls: Calls
) -> None:
    await shared_tab.open()
    async with httpx.AsyncClient(base_url=f"{shared_address}/api/v1") as client:
        call = await open_call(client)
        await say(client, call, "I have just begun.")
        first = shared_tab.page.locator("tbody tr").first
        await expect(first).to_contain_text("I have just begun.")
        await end(client, call)
        await expect(shared_tab.page.locator(f"tr:has(a[href$='{call}'])")).to_contain_text("ended")
        await expect(first.locator("a")).not_to_have_attribute("href", f"#/calls/{call}")
    assert shared_calls


async def test_an_empty_record_shows_how_to_begin(shared_browser: Browser, database_url: str) -> None:
    with serving(database_url) as address:
        async with tab(shared_browser, address) as opened:
            await opened.open()
            await expect(opened.page.locator("pre")).to_contain_text(f"A={address}/api/v1")
            await opened.photograph("empty")
            assert await opened.violations() == []
            assert opened.faults == []


def _bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
