"""A phone, the service and an orchestrator on this machine: a call, an intent, a task, and the link back.

    python -m examples.demo

Each program listens on 127.0.0.1 and ends with the demo. At a terminal that is with Ctrl-C, so that the call can be
looked at in the console. The database is removed.
"""

import asyncio
import base64
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import httpx

from backend.embedded_postgres import EmbeddedPostgres
from backend.migrations import runner
from examples.phone import call

_PAUSE: Final = 0.5  # seconds between two lines of the call
_PATIENCE: Final = 30.0  # seconds until a program must answer its first request, and for each request


def main() -> None:
    """Start a database, the service and an orchestrator, let the phone call, and print what each of them does."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder)) as postgres:
        runner.upgrade(postgres.url)
        asyncio.run(_tell(postgres.url.replace("+asyncpg", "")))


async def _tell(database: str) -> None:
    record, hook = (f"http://127.0.0.1:{port}" for port in _free_ports(2))
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    service = {
        "DATABASE_URL": database,
        "VERBATIM_ORCHESTRATOR_URL": f"{hook}/hook",
        "VERBATIM_ORCHESTRATOR_SECRETS": json.dumps([secret]),
        "VERBATIM_ORCHESTRATOR_PRIVATE": "true",
        "VERBATIM_LOG_LEVEL": "WARNING",
    }
    orchestrator = {"DATABASE_URL": database, "VERBATIM_URL": record, "WEBHOOK_SECRET": secret}
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_running(record, service, "backend", "serve"))
        listening = "uvicorn", "examples.orchestrator:app", "--log-level", "warning"
        await stack.enter_async_context(_running(hook, orchestrator, *listening))
        api = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"{record}/api/v1/", timeout=_PATIENCE, trust_env=False)
        )
        conversation = await call(api, _PAUSE)
        await _epilogue(api, conversation)
        print(f"console       {record}/console/#/calls/{conversation}")
        if sys.stdin.isatty():
            print("The demo ends with Ctrl-C.")
            await _interrupt()


async def _epilogue(api: httpx.AsyncClient, conversation: str) -> None:
    [delivery] = (await api.get("deliveries")).json()["data"]
    state = (await api.get(f"conversations/{conversation}")).json()
    print(f"record        {state['extracted_intent']} is linked to task {state['linked_task_id']}")
    print(f"record        {delivery['webhook_id']} was {delivery['state']} in {delivery['attempts']} attempt(s)")
    print((await api.get(f"conversations/{conversation}/transcript", params={"format": "text"})).text, end="")


async def _interrupt() -> None:
    """Wait for Ctrl-C."""
    pressed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, pressed.set)
    await pressed.wait()


@asynccontextmanager
async def _running(address: str, settings: dict[str, str], *command: str) -> AsyncIterator[None]:
    """Run a Python module as a process; enter when it answers at ``address``, and end it on exit."""
    command = (*command, "--port", address.rpartition(":")[2])
    log = asyncio.subprocess.DEVNULL if command[0] == "backend" else None
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | settings
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command, env=environment, stdout=log, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(_PATIENCE):
            while True:
                if process.returncode is not None and process.stderr:
                    raise RuntimeError((await process.stderr.read()).decode())
                try:
                    await client.get(f"{address}/openapi.json")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
        yield
    finally:
        with suppress(ProcessLookupError):  # the terminal sends Ctrl-C to every program
            process.terminate()
        await process.wait()


def _free_ports(count: int) -> list[int]:
    # All sockets stay open until the last port is chosen, so that no port is chosen twice.
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


if __name__ == "__main__":
    main()
