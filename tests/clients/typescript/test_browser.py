"""The page of `examples/browser` makes a call in Chromium, with a microphone that beeps and Deepgram's stand-in."""

import json
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from tests.chromium import chromium
from tests.conftest import serving
from tests.deepgram_stand_in import CUT, HANG_UP, Step, WaitFor, stand_in
from tests.documentation import ROOT
from tests.phones import said

pytestmark = pytest.mark.usefixtures("package")

SCRIPT: Final[list[Step]] = [
    said("user", "Remind me to call the dentist."),
    bytes(3200),
    said("assistant", "When?"),
    WaitFor("InjectUserMessage"),
    CUT,
    said("assistant", "Tomorrow at nine: call the dentist."),
    {"type": "UserStartedSpeaking"},
    said("user", "Thank you. <b>Bye!</b>"),
    HANG_UP,
]
SAID: Final = [
    "Hello! What can I do for you?",
    "Remind me to call the dentist.",
    "When?",
    "Tomorrow at nine.",
    "Tomorrow at nine: call the dentist.",
    "Thank you. <b>Bye!</b>",
]
TEXTS: Final = "[...document.querySelectorAll({!r})].map((each) => each.textContent)"


async def test_a_call_from_the_page_is_on_record_and_shown(database_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        deepgram = await stack.enter_async_context(stand_in(key="the-key", script=SCRIPT))
        origin = stack.enter_context(_pages())
        settings = {
            "VERBATIM_DEEPGRAM_API_KEY": "the-key",
            "VERBATIM_DEEPGRAM_URL": deepgram.url,
            "VERBATIM_DEEPGRAM_AGENT_URL": deepgram.agent_url,
            "VERBATIM_CORS_ORIGINS": json.dumps([origin]),
        }
        address = stack.enter_context(serving(database_url, **settings))
        tab = await stack.enter_async_context(chromium(tmp_path / "profile"))
        await tab.open(f"{origin}/examples/browser/?api={address}/api/v1")
        await tab.until("document.querySelector('#call')?.disabled === false")
        await tab.run("document.querySelector('#call').click()")
        await tab.until("document.querySelectorAll('#said li').length === 3")
        # The stand-in listens only while its script waits for what is typed: the microphone must be heard before.
        await deepgram.until(lambda: any(isinstance(each, bytes) and each for each in deepgram.heard))
        await tab.run(
            "document.querySelector('#typed input').value = 'Tomorrow at nine.';"
            "document.querySelector('#typed').requestSubmit()"
        )
        await tab.until("document.querySelector('#receipt').textContent")
        await tab.until(f"document.querySelectorAll('#record li').length === {len(SAID)}")
        assert await tab.run(TEXTS.format("#said li")) == SAID
        assert await tab.run(TEXTS.format("#record .content")) == SAID
        assert await tab.run("document.querySelector('#receipt').className") == "complete"
        assert await tab.run(TEXTS.format("#queue dd")) == ["0", "0", "0", "0"]
        (tmp_path / "page.png").write_bytes(await tab.photograph())  # to look at


@contextmanager
def _pages() -> Iterator[str]:
    """Serve the repository's files, and give their origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(ROOT))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write no log."""
