"""A call by the TypeScript package: Deepgram's stand-in on one side, which loses the line, the service on the other."""

import asyncio
import json
from typing import Any, Final

import httpx
import pytest

from tests.clients.typescript.npm import NODE, PACKAGE, run
from tests.conftest import serving
from tests.deepgram_stand_in import CUT, HANG_UP, DeepgramStandIn, Step, WaitFor, stand_in
from tests.phones import said

pytestmark = pytest.mark.usefixtures("package")

CALL: Final = {"id": "call-1", "name": "clock", "client_side": True, "arguments": "{}"}
# The phone says ForceEndTurn whenever a text has come: Node drops what came just before a connection is cut.
HEARD: Final = WaitFor("ForceEndTurn")
SCRIPT: Final[list[Step]] = [
    HEARD,
    said("user", "What time is it?"),
    HEARD,
    {"type": "FunctionCallRequest", "functions": [CALL]},
    WaitFor("FunctionCallResponse"),
    {"type": "AgentStartedSpeaking", "total_latency": 1.25},
    b"a voice",
    said("assistant", "It is half past nine."),
    HEARD,
    CUT,
    said("user", "And where?"),
    HEARD,
    {"type": "ThoughtOfTomorrow"},
    CUT,
    said("user", "Never mind."),
    HEARD,
    HANG_UP,
]


@pytest.mark.parametrize("environment", [{}, {"BROWSER": "1"}], ids=["with a header", "with a sub-protocol"])
async def test_a_call_over_three_connections_is_complete_and_goes_on_from_the_record(
    database_url: str, environment: dict[str, str]
) -> None:
    async with stand_in(key="the-key", script=SCRIPT) as deepgram:
        found, transcript = await asyncio.to_thread(_call, database_url, deepgram, environment)
    assert found["receipt"]["complete"] is True
    assert [(each["role"], each["content"]) for each in transcript] == [
        ("assistant", "Hello!"),
        ("user", "What time is it?"),
        ("function", "{}"),
        ("function", "half past nine"),
        ("assistant", "It is half past nine."),
        ("user", "And where?"),
        ("user", "Never mind."),
    ]
    assert transcript[4]["metadata"]["latency"]["total_ms"] == 1250
    assert len(deepgram.grants) == 1 + 3  # when the session begins, and before each connection
    first, second, third = (settings["agent"] for settings in deepgram.settings)
    assert first == {"greeting": "Hello!", "context": {"messages": []}}
    assert "greeting" not in second | third
    past = [
        {"type": "History", "role": "assistant", "content": "Hello!"},
        {"type": "History", "role": "user", "content": "What time is it?"},
        {"type": "History", "function_calls": [{**CALL, "response": "half past nine"}]},
        {"type": "History", "role": "assistant", "content": "It is half past nine."},
    ]
    assert second["context"]["messages"] == past
    assert third["context"]["messages"] == [*past, {"type": "History", "role": "user", "content": "And where?"}]


def _call(database_url: str, deepgram: DeepgramStandIn, environment: dict[str, str]) -> tuple[Any, list[Any]]:
    """Return what the phone has printed, and the transcript."""
    settings = {
        "VERBATIM_DEEPGRAM_API_KEY": "the-key",
        "VERBATIM_DEEPGRAM_URL": deepgram.url,
        "VERBATIM_DEEPGRAM_AGENT_URL": deepgram.agent_url,
    }
    with serving(database_url, **settings) as address:
        found = json.loads(
            run(NODE, "--no-warnings", "tests/call.ts", folder=PACKAGE, VERBATIM_URL=address, **environment)
        )
        path = f"{address}/api/v1/conversations/{found['conversation']}/transcript"
        return found, httpx.get(path).json()["messages"]
