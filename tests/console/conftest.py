"""The console in a browser, before the real service with calls in it."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.conftest import serving
from tests.console import figures
from tests.console.browser import Tab, chromium, tab
from tests.console.calls import Calls, record


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared_address(shared_database_url: str) -> Iterator[str]:
    """The address of a service without authentication."""
    with serving(shared_database_url) as address:
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_calls(shared_address: str) -> Calls:
    """Calls of every kind, on record in the service."""
    return await record(shared_address)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_figures(shared_database_url: str) -> None:
    """Calls of two days of the past, on record in the service."""
    await figures.put_on_record(shared_database_url)


@pytest_asyncio.fixture(loop_scope="module")
async def shared_tab(shared_browser: Browser, shared_address: str) -> AsyncIterator[Tab]:
    """A tab of the test's own; what went wrong in it fails the test."""
    async with tab(shared_browser, shared_address) as opened:
        yield opened
        assert opened.faults == []
