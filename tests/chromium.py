"""Debian's Chromium without a window, driven over its DevTools protocol."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import websockets

from tests.installed import program
from tests.waiting import PATIENCE

_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # which root needs
    "--disable-gpu",
    "--disable-dev-shm-usage",  # which is small in containers
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1100,900",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)


class Tab:
    """A page in the browser."""

    def __init__(self, line: websockets.ClientConnection) -> None:
        self._line = line
        self._numbers = count(1)

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return the answer to a command of the protocol; events in between are dropped."""
        number = next(self._numbers)
        await self._line.send(json.dumps({"id": number, "method": method, "params": parameters}))
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = json.loads(await self._line.recv())
                if answer.get("id") == number:
                    assert "result" in answer, answer
                    result: dict[str, Any] = answer["result"]
                    return result

    async def run(self, expression: str) -> Any:
        """Return the value of ``expression``, awaited if it is a promise."""
        answer = await self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait until the expression ``condition`` holds, which the page looks at after each change of its document."""
        await self.run(
            f"""new Promise((resolve) => {{
                const look = () => ({condition}) && (watcher.disconnect(), resolve());
                const watcher = new MutationObserver(look);
                watcher.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
                look();
            }})"""
        )

    async def open(self, url: str) -> None:
        await self.ask("Page.enable")
        await self.ask("Page.navigate", url=url)

    async def crash(self) -> None:
        """Kill the process of the page, and wait until the browser knows."""
        await self.ask("Inspector.enable")
        await self._line.send(json.dumps({"id": next(self._numbers), "method": "Page.crash"}))
        async with asyncio.timeout(PATIENCE):
            while json.loads(await self._line.recv()).get("method") != "Inspector.targetCrashed":
                pass

    async def photograph(self) -> bytes:
        """Return what the page looks like, as PNG."""
        return base64.b64decode((await self.ask("Page.captureScreenshot", format="png"))["data"])


@asynccontextmanager
async def chromium(profile: Path) -> AsyncIterator[Tab]:
    """Run the browser with ``profile`` as its folder, and give its first tab."""
    process = await asyncio.create_subprocess_exec(
        str(program("chromium", "chromium")),
        *_FLAGS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        address = await _address(process)
        async with websockets.connect(address, max_size=None) as browser:
            targets = await Tab(browser).ask("Target.getTargets")
        page = next(each["targetId"] for each in targets["targetInfos"] if each["type"] == "page")
        origin = address.partition("/devtools")[0]
        async with websockets.connect(f"{origin}/devtools/page/{page}", max_size=None) as line:
            yield Tab(line)
    finally:
        process.terminate()
        await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr
    async with asyncio.timeout(PATIENCE):
        async for line in process.stderr:
            if b"DevTools listening on " in line:
                return line.split()[-1].decode()
    raise AssertionError("the browser has ended")
