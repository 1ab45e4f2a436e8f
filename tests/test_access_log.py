"""The access log: which requests have a line, what is in it, and that no way to exit loses one."""

import asyncio
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from backend.observability.access_log import AccessLog, AccessLogChoice

PATIENCE = 60.0  # seconds
LINES = 2_000  # in one iteration of the event loop: far more than a pipe takes at once

# Logs in the last iteration of the event loop of a process that then exits.
EXITING = """
import asyncio, os, signal, sys, time
from backend.observability.access_log import AccessLog, AccessLogChoice
from backend.shutdown import STOP

async def main():
    log = AccessLog(AccessLogChoice.ALL)
    for number in range(int(sys.argv[2])):
        log.note("POST", "/api/v1/voice/messages", 201, 0.001, f"{os.getpid():016x}{number:016x}")
    match sys.argv[1]:
        case "fault":
            1 / 0
        case "exit":
            sys.exit(3)
        case "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

STOP.interrupt()
asyncio.run(main())
"""


def _said(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for line in capfd.readouterr().out.splitlines()]
    return [line for line in lines if line["event"] == "request"]


async def test_a_line_says_when_what_was_asked_and_how_it_ended(
    shared_service: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await shared_service.get("/api/v1/conversations/nowhere")
    await asyncio.sleep(0)  # until the next iteration of the event loop
    [line] = _said(capfd)
    assert datetime.now(UTC) - datetime.fromisoformat(line.pop("timestamp")) < timedelta(hours=1)
    assert line.pop("ms") > 0
    assert line == {
        "method": "GET",
        "route": "/api/v1/conversations/{conversation_id}",
        "status": 422,
        "event": "request",
        "request_id": answer.headers["x-request-id"],
        "level": "info",
    }


@pytest.mark.parametrize(
    ("choice", "logged"),
    [
        (AccessLogChoice.ALL, ["quick", "slow", "refused", "disconnected"]),
        (AccessLogChoice.SLOW, ["slow", "refused", "disconnected"]),
        (AccessLogChoice.ERRORS, ["refused", "disconnected"]),
        (AccessLogChoice.NONE, []),
    ],
)
async def test_the_operator_chooses_which_requests_are_logged(
    choice: AccessLogChoice, logged: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    log = AccessLog(choice)
    log.note("GET", "/", 399, 0.249, "quick")
    log.note("GET", "/", 200, 0.25, "slow")
    log.note("GET", "/", 400, 0.001, "refused")
    log.note("GET", "/", 0, 0.001, "disconnected")
    log.flush()
    assert [line["request_id"] for line in _said(capfd)] == logged


@pytest.mark.parametrize("ending", ["return", "fault", "exit", "SIGTERM"])
def test_no_line_is_lost_or_mixed_with_another_however_two_processes_end(ending: str) -> None:
    reading, writing = os.pipe()
    command = [sys.executable, "-c", EXITING, ending, str(LINES)]
    processes = [subprocess.Popen(command, stdout=writing, stderr=subprocess.DEVNULL) for _ in range(2)]
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        written = [orjson.loads(line)["request_id"] for line in pipe]
    for process in processes:
        process.wait(PATIENCE)
        mine = [each for each in written if each.startswith(f"{process.pid:016x}")]
        assert [int(each[16:], 16) for each in mine] == list(range(LINES))
