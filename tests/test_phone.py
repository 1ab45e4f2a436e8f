"""A phone's whole call, with Deepgram's own SDK on one side and the service on the other."""

import asyncio
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.agent.v1.types import AgentV1SendFunctionCallResponse, AgentV1Settings
from deepgram.core.events import EventType
from pydantic import BaseModel

from backend.app import create_app
from tests.conftest import running, settings_for
from tests.deepgram.examples import EXAMPLES
from tests.deepgram_stand_in import CUT, HANG_UP, DeepgramStandIn, Step, WaitFor, stand_in
from tests.phones import CONVERSATIONS, SESSIONS, Phone, numbered, said

# The SDK uses what websockets deprecates, and imports it where it first connects.
pytestmark = [
    pytest.mark.filterwarnings("ignore:websockets.exceptions.InvalidStatusCode is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning"),
]

SETTINGS: Final[dict[str, Any]] = {
    "type": "Settings",
    "audio": {"input": {"encoding": "linear16", "sample_rate": 16000}},
    "agent": {"greeting": "Hello!"},
}
CALL: Final = {"id": "call-1", "name": "clock", "client_side": True, "arguments": "{}"}
RESULT: Final = {"type": "FunctionCallResponse", "id": "call-1", "name": "clock", "content": "half past nine"}
STARTED: Final = EXAMPLES["AgentStartedSpeaking"]
SCRIPT: Final[list[Step]] = [
    said("user", "What time is it?"),
    {"type": "FunctionCallRequest", "functions": [CALL]},
    WaitFor("FunctionCallResponse"),
    STARTED,
    b"a voice",
    said("assistant", "It is half past nine."),
    CUT,
    said("user", "And where?"),
    {"type": "ThoughtOfTomorrow"},
    CUT,
    said("assistant", "Here, I should think, and nowhere"),
    {"type": "UserStartedSpeaking"},
    said("user", "Never mind."),
    EXAMPLES["Error"],
    HANG_UP,
]


class Handset:
    """What the user holds: it hears Deepgram through the SDK, and forwards every event to the service."""

    def __init__(self, phone: Phone, deepgram: DeepgramStandIn) -> None:
        self.phone = phone
        self.deepgram = deepgram
        self.events: list[dict[str, Any]] = []

    async def connect(self) -> bool:
        """Talk until the line is lost or hung up, forward what was heard, and tell whether it was lost."""
        token = (await self.phone.client.post(f"{SESSIONS}/{self.phone.session_id}/token")).json()
        path = f"{CONVERSATIONS}/{self.phone.conversation_id}/transcript"
        past = (await self.phone.client.get(path, params={"format": "deepgram"})).json()
        settings = SETTINGS | {"agent": SETTINGS["agent"] | past["agent"]}
        troubles: list[Exception] = []
        heard = len(self.events)
        async with httpx.AsyncClient() as network:
            client = AsyncDeepgramClient(
                access_token=token["access_token"], environment=self.deepgram.environment, httpx_client=network
            )
            async with client.agent.v1.connect() as line:
                answering: list[asyncio.Task[None]] = []

                def hear(message: bytes | dict[str, Any] | BaseModel) -> None:
                    if isinstance(message, bytes):
                        return
                    event = message if isinstance(message, dict) else message.model_dump(mode="json")
                    self.events.append(event)
                    if event["type"] == "FunctionCallRequest":
                        self.events.append(RESULT)
                        answer = AgentV1SendFunctionCallResponse.model_validate(RESULT)
                        answering.append(asyncio.create_task(line.send_function_call_response(answer)))

                line.on(EventType.MESSAGE, hear)
                line.on(EventType.ERROR, troubles.append)
                await line.send_settings(AgentV1Settings.model_validate(settings))
                await line.start_listening()
        await self.phone.send(*numbered(self.events[heard:], heard + 1))
        return bool(troubles)


async def test_a_call_over_three_connections_is_complete_and_reads_as_it_was_spoken(database_url: str) -> None:
    async with stand_in(key="the-key", script=SCRIPT) as deepgram:
        settings = settings_for(
            database_url, deepgram_api_key="the-key", deepgram_url=deepgram.url, deepgram_agent_url=deepgram.agent_url
        )
        async with running(create_app(settings)) as client:
            begun = (await client.post(SESSIONS, json={})).json()
            phone = Phone(client, begun["id"], UUID(begun["conversation_id"]))
            handset = Handset(phone, deepgram)
            assert [await handset.connect() for _ in range(3)] == [True, True, False]
            receipt = await phone.end(reason="hangup", last_client_sequence=len(handset.events))
            transcript, state = await phone.messages(), await phone.state()
    assert receipt["complete"] is True
    assert [(each["role"], each["content"]) for each in transcript] == [
        ("assistant", "Hello!"),
        ("user", "What time is it?"),
        ("function", "{}"),
        ("function", "half past nine"),
        ("assistant", "It is half past nine."),
        ("user", "And where?"),
        ("assistant", "Here, I should think, and nowhere"),
        ("user", "Never mind."),
    ]
    assert transcript[4]["metadata"]["latency"]["total_ms"] == 1250
    assert [each["metadata"].get("interrupted", False) for each in transcript] == [False] * 6 + [True, False]
    assert len(state["provider_session_ids"]) == 3
    assert state["event_counts"]["ThoughtOfTomorrow"] == 1
    assert state["incidents"][0]["detail"]["code"] == "CLIENT_MESSAGE_TIMEOUT"
    _resumed_with_what_was_said(deepgram)


def _resumed_with_what_was_said(deepgram: DeepgramStandIn) -> None:
    first, second, third = (settings["agent"] for settings in deepgram.settings)
    assert first == {"greeting": "Hello!", "context": {"messages": []}}
    assert second.get("greeting") is third.get("greeting") is None
    past = [
        {"type": "History", "role": "assistant", "content": "Hello!"},
        {"type": "History", "role": "user", "content": "What time is it?"},
        {"type": "History", "function_calls": [{**CALL, "response": "half past nine"}]},
        {"type": "History", "role": "assistant", "content": "It is half past nine."},
    ]
    assert second["context"]["messages"] == past
    assert third["context"]["messages"] == [*past, {"type": "History", "role": "user", "content": "And where?"}]
