"""Processes that must run: started, watched, started again when they die, ended by their own number."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Final

import psutil

REPOSITORY: Final = Path(__file__).parents[2]
SHUTDOWN: Final = 5  # seconds that a service gives to requests under way
# Beyond that the appender may take ten to finish what it took, and each of the others a moment.
GRACE: Final = SHUTDOWN + 15.0


class Member:
    """A process that is started again whenever it ends, until it is let go."""

    def __init__(self, name: str, command: list[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.name = name
        self.starts = 0
        self._command = [sys.executable, "-m", *command]
        self._log = log
        self._environment = os.environ | {"PYTHONPATH": str(REPOSITORY)} | (environment or {})
        self._process: Process | None = None
        self._wanted = True
        self._running = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._watching = asyncio.create_task(self._watch(), name=self.name)
        await self._running.wait()

    async def _watch(self) -> None:
        while self._wanted:
            with self._log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command, env=self._environment, stdin=PIPE, stdout=log, stderr=log, cwd=REPOSITORY
                )
            self.starts += 1
            self._running.set()
            status = await self._process.wait()
            self._running.clear()
            if status == 0 and self._finished:
                return
            await asyncio.sleep(0.2)  # as whatever supervises it would

    _finished = False

    def tell(self, text: str) -> None:
        """Say the last thing that it is ever told; when it ends now, it has finished."""
        self._finished = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(text.encode())
            self._process.stdin.close()

    async def finish(self, within: float) -> bool:
        """Tell whether it comes to its end by itself."""
        assert self._watching is not None
        _, late = await asyncio.wait({self._watching}, timeout=within)
        return not late

    @property
    def pid(self) -> int | None:
        return None if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def pids(self) -> list[int]:
        """Return those that do the work: its children, or itself where it has none that would be started again."""
        if self._process is None or self._process.returncode is not None:
            return []
        try:
            children = psutil.Process(self._process.pid).children()
            workers = [each.pid for each in children if "resource_tracker" not in " ".join(each.cmdline())]
        except psutil.NoSuchProcess:  # it, or one of them, has just died
            return []
        return workers or [self._process.pid]

    async def terminate(self) -> float:
        """Ask it politely to go, and return how many seconds that took; it is started again."""
        process = self._process
        if process is None or process.returncode is not None:
            return 0.0
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 2 * GRACE)
        except TimeoutError:
            process.kill()
        return time.monotonic() - begun

    async def end(self) -> None:
        self._wanted = False
        await self.terminate()
        if self._watching is not None:
            await self._watching
