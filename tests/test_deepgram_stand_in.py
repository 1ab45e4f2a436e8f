"""The stand-in for Deepgram, as Deepgram's own SDK finds it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, get_args

import httpx
import jwt
import pytest
from deepgram import AsyncDeepgramClient
from deepgram.agent.v1.types import AgentV1Settings
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from starlette.responses import Response
from websockets.exceptions import ConnectionClosedError

from tests.deepgram_stand_in import (
    BROKEN,
    CUT,
    FORBIDDEN,
    GARBAGE,
    LIMITED,
    NEVER,
    NORMAL,
    OTHER_SHAPE,
    REDIRECT,
    DeepgramStandIn,
    WaitFor,
    stand_in,
)

if TYPE_CHECKING:
    from deepgram.agent.v1.socket_client import AsyncV1SocketClient

# The SDK uses what websockets deprecates, and imports it where it first connects.
pytestmark = [
    pytest.mark.filterwarnings("ignore:websockets.exceptions.InvalidStatusCode is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:websockets.legacy is deprecated:DeprecationWarning"),
]

_KEY: Final = "the key"
_SETTINGS: Final = {
    "type": "Settings",
    "audio": {"input": {"encoding": "linear16", "sample_rate": 16000}},
    "agent": {"greeting": "Hello!"},
}
_CALL: Final = {"id": "call-1", "name": "clock", "client_side": True, "arguments": "{}"}
_REQUEST: Final = {"type": "FunctionCallRequest", "functions": [_CALL]}
_RESPONSE: Final = {"type": "FunctionCallResponse", "id": "call-1", "name": "clock", "content": "noon"}
_OPENING: Final[list[dict[str, Any]]] = [
    {"type": "SettingsApplied"},
    {"type": "ConversationText", "role": "assistant", "content": "Hello!", "conversational_behavior": "default"},
]
_EVENTS: Final[list[dict[str, Any]]] = [
    {"type": "ThoughtOfTomorrow", "content": {"nobody": "knows"}},
    {"type": "UserStartedSpeaking"},
    {"type": "ConversationText", "role": "user", "content": "Mấy giờ rồi?", "conversational_behavior": "default"},
    {"type": "History", "role": "user", "content": "Mấy giờ rồi?"},
    {"type": "AgentThinking", "content": "A clock would help."},
    _REQUEST,
    {"type": "FunctionCallCancelled", "functions": [{"id": "call-1", "name": "clock"}]},
    _RESPONSE,
    {"type": "History", "function_calls": [_CALL | {"response": "noon"}]},
    {"type": "AgentStartedSpeaking", "total_latency": 0.9, "tts_latency": 0.2, "ttt_latency": 0.4},
    {"type": "LatencyReport", "stt_latency": 0.1, "total_latency": 0.9},
    {"type": "AgentAudioDone"},
    {"type": "FrustrationDetected", "count": 1, "escalated": False},
    {"type": "InjectionRefused", "message": "The user is speaking."},
    {"type": "PromptUpdated"},
    {"type": "ListenUpdated"},
    {"type": "ThinkUpdated"},
    {"type": "ThinkLiveUpdated"},
    {"type": "SpeakUpdated"},
    {"type": "__customFromThinkProvider", "content": [1, None]},
    {"type": "Warning", "description": "It is slow today.", "code": "THINK_REQUEST_FAILED"},
    {"type": "Error", "description": "It broke.", "code": "INTERNAL_SERVER_ERROR"},
]


async def test_the_official_sdk_hears_every_event_there_is() -> None:
    from deepgram.agent.v1.socket_client import V1SocketClientResponse  # noqa: PLC0415

    forms = set(get_args(V1SocketClientResponse))
    async with stand_in(key=_KEY, script=[*_EVENTS, b"sound", CUT]) as deepgram:
        received = await _hear_out(deepgram, await _grant(deepgram))
        assert received[0].request_id
        assert [_plain(message) for message in received[1:]] == [*_OPENING, *_EVENTS, b"sound"]
        assert {type(message) for message in received} == forms | {dict}
        assert len({message.type for message in received if type(message) in forms - {bytes}}) == 22
        assert deepgram.settings == [_SETTINGS]
        assert deepgram.heard == []
        [asked] = deepgram.grants
        assert asked.authorization == f"Token {_KEY}"
        assert json.loads(asked.body) == {"ttl_seconds": 60}


async def test_a_wrong_key_gets_no_token() -> None:
    async with stand_in(key=_KEY) as deepgram:
        with pytest.raises(ApiError) as refused:
            await _grant(deepgram, key="another key")
        assert refused.value.status_code == 401
        assert refused.value.body["err_code"] == "INVALID_AUTH"


async def test_a_token_opens_connections_until_it_expires() -> None:
    async with stand_in(key=_KEY, script=[CUT, CUT]) as deepgram:
        token = await _grant(deepgram)
        deepgram.ahead = 59
        await _hear_out(deepgram, token)
        deepgram.ahead = 61
        with pytest.raises(ApiError) as refused:
            await _hear_out(deepgram, token)
        assert refused.value.status_code == 401
        assert list(deepgram.script) == [CUT]


@pytest.mark.parametrize("token", ["an invention", jwt.encode({"exp": 2**33}, "x" * 32), _KEY])
async def test_a_token_from_elsewhere_opens_nothing(token: str) -> None:
    async with stand_in(key=_KEY) as deepgram:
        await _grant(deepgram)
        with pytest.raises(ApiError) as refused:
            await _hear_out(deepgram, token)
        assert refused.value.status_code == 401


async def test_after_a_cut_the_script_goes_on_at_the_next_connection() -> None:
    first, second = _OPENING[1] | {"content": "One."}, _OPENING[1] | {"content": "Two."}
    async with stand_in(key=_KEY, script=[first, CUT, second, CUT]) as deepgram:
        token = await _grant(deepgram)
        heard = [await _hear_out(deepgram, token) for _ in range(2)]
        assert [_plain(messages[-1]) for messages in heard] == [first, second]
        assert heard[0][0].request_id != heard[1][0].request_id


async def test_the_script_waits_for_the_client_even_over_a_lost_connection() -> None:
    async with stand_in(key=_KEY, script=[_REQUEST, WaitFor("FunctionCallResponse"), _EVENTS[1]]) as deepgram:
        token = await _grant(deepgram)
        async with _phone(deepgram, token) as agent:
            await agent.send_keep_alive()
            await deepgram.until(lambda: deepgram.heard)
            assert len(deepgram.script) == 2
        async with _phone(deepgram, token) as agent:
            await agent.send_media(b"sound")
            await agent.send_raw(_RESPONSE)
            *_, last = [_plain(await agent.recv()) for _ in range(4)]
            assert last == _EVENTS[1]
    assert deepgram.heard == [{"type": "KeepAlive"}, b"sound", _RESPONSE]


async def test_nothing_is_taken_before_the_settings() -> None:
    async with stand_in(key=_KEY, script=[CUT]) as deepgram:
        async with _phone(deepgram, await _grant(deepgram), settings={"type": "KeepAlive"}) as agent:
            _welcome, error = [message async for message in agent]
        assert error.code == "NON_SETTINGS_MESSAGE_BEFORE_SETTINGS"
        assert list(deepgram.script) == [CUT]


async def test_who_is_in_the_middle_of_a_conversation_is_not_greeted() -> None:
    context = {"messages": [{"type": "History", "role": "user", "content": "Where were we?"}]}
    settings = _SETTINGS | {"agent": {"greeting": "Hello!", "context": context}}
    async with stand_in(key=_KEY, script=[CUT]) as deepgram:
        received = await _hear_out(deepgram, await _grant(deepgram), settings)
        assert [message.type for message in received] == ["Welcome", "SettingsApplied"]


@pytest.mark.parametrize("answer", [FORBIDDEN, LIMITED, BROKEN, GARBAGE, OTHER_SHAPE, REDIRECT])
async def test_grants_are_answered_as_a_test_wants_and_then_normally(answer: Response) -> None:
    async with stand_in(key=_KEY) as deepgram, httpx.AsyncClient(verify=False) as client:
        deepgram.answers = iter([NORMAL, answer])
        first, second, third = [await _ask(deepgram, client) for _ in range(3)]
        assert (second.status_code, second.content) == (answer.status_code, answer.body)
        assert first.json()["access_token"] != third.json()["access_token"]


async def test_a_grant_may_never_be_answered() -> None:
    async with httpx.AsyncClient(verify=False) as client:
        async with stand_in(key=_KEY) as deepgram:
            deepgram.answers = repeat(NEVER)
            asking = asyncio.create_task(_ask(deepgram, client))
            await deepgram.until(lambda: deepgram.grants)
            with pytest.raises(httpx.ReadTimeout):
                await _ask(deepgram, client, timeout=httpx.Timeout(10, read=0.01))
            assert not asking.done()
        assert (await asking).status_code == 503


@pytest.mark.parametrize(("body", "seconds"), [("", 30), ("{}", 30), ('{"ttl_seconds": 3600}', 3600)])
async def test_a_token_lives_as_long_as_is_wished(body: str, seconds: int) -> None:
    async with stand_in(key=_KEY) as deepgram, httpx.AsyncClient(verify=False) as client:
        granted = await _ask(deepgram, client, content=body)
        assert granted.json()["expires_in"] == seconds


@pytest.mark.parametrize("seconds", [0, 3601, "60", True, None])
async def test_no_token_lives_shorter_or_longer_than_deepgram_allows(seconds: object) -> None:
    async with stand_in(key=_KEY) as deepgram, httpx.AsyncClient(verify=False) as client:
        refused = await _ask(deepgram, client, json={"ttl_seconds": seconds})
        assert refused.status_code == 400
        assert refused.json().keys() == {"err_code", "err_msg", "request_id"}


async def _grant(deepgram: DeepgramStandIn, key: str = _KEY) -> str:
    async with httpx.AsyncClient(verify=False) as client:
        sdk = AsyncDeepgramClient(api_key=key, environment=deepgram.environment, httpx_client=client)
        token: str = (await sdk.auth.v1.tokens.grant(ttl_seconds=60)).access_token
        return token


async def _ask(deepgram: DeepgramStandIn, client: httpx.AsyncClient, **more: Any) -> httpx.Response:
    return await client.post(f"{deepgram.url}/v1/auth/grant", headers={"authorization": f"Token {_KEY}"}, **more)


@asynccontextmanager
async def _phone(
    deepgram: DeepgramStandIn, token: str, settings: dict[str, Any] = _SETTINGS
) -> AsyncIterator["AsyncV1SocketClient"]:
    """Connect with the SDK, and say first what comes first."""
    sdk = AsyncDeepgramClient(access_token=token, environment=deepgram.environment)
    async with sdk.agent.v1.connect() as agent:
        await agent.send_settings(AgentV1Settings.model_construct(**settings))
        yield agent


async def _hear_out(deepgram: DeepgramStandIn, token: str, settings: dict[str, Any] = _SETTINGS) -> list[Any]:
    """Return what a phone receives before its connection is lost."""
    received: list[Any] = []
    errors: list[Any] = []
    async with _phone(deepgram, token, settings) as agent:
        agent.on(EventType.MESSAGE, received.append)
        agent.on(EventType.ERROR, errors.append)
        await agent.start_listening()  # type: ignore[no-untyped-call]
    [error] = errors
    assert isinstance(error, ConnectionClosedError)
    assert error.rcvd is None
    return received


def _plain(message: Any) -> Any:
    """Return a message as it came over the wire."""
    return message if isinstance(message, bytes | dict) else message.dict()
