"""A stand-in for Deepgram on loopback: it grants tokens, and plays a script to whoever connects with one.

There is one script for all connections. Each waits for the one before to be done with it, and goes on where that one
left off; a step that a lost connection was still waiting at is waited at again.

A browser, which can send no header, names its token as a sub-protocol after the scheme.

A client is listened to where the script waits for it, and after the script. So what it said last may still be on its
way when it has hung up: wait `until` it is heard, or look once the stand-in has ended, when all of it has been.
"""

import asyncio
import json
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, Literal, NamedTuple
from uuid import uuid4

import jwt
import uvicorn
from deepgram.environment import DeepgramClientEnvironment
from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.waiting import PATIENCE

_GRANT: Final = "/v1/auth/grant"
_AGENT: Final = "/v1/agent/converse"
_SECRET: Final = "Only Deepgram can tell what a token says."


class WaitFor(NamedTuple):
    """The step that lasts until the client has sent a message of this type."""

    type: str


class Asked(NamedTuple):
    """A request for a token."""

    authorization: str | None
    body: bytes


Step = dict[str, Any] | bytes | WaitFor | Literal["cut", "hang up"]

CUT: Final = "cut"  # the step at which the connection drops, without a close frame
HANG_UP: Final = "hang up"  # the step at which it is closed in order


def refusal(status: HTTPStatus, code: str, message: str) -> Response:
    return JSONResponse({"err_code": code, "err_msg": message, "request_id": str(uuid4())}, status)


# What a grant can be answered with, beside any other response that a test makes.
NORMAL: Final = Response()
NEVER: Final = Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE)  # or rather, when the stand-in ends
FORBIDDEN: Final = refusal(HTTPStatus.FORBIDDEN, "FORBIDDEN", "Insufficient permissions.")
LIMITED: Final = refusal(HTTPStatus.TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", "Too many requests. Please try again later")
BROKEN: Final = refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR", "Something went wrong.")
GARBAGE: Final = HTMLResponse("<html>Welcome to the network of this hotel</html>")
OTHER_SHAPE: Final = JSONResponse({"token": "a token by another name"})
REDIRECT: Final = RedirectResponse(_GRANT)  # whoever follows it has asked twice

_STRANGER: Final = refusal(HTTPStatus.UNAUTHORIZED, "INVALID_AUTH", "Invalid credentials.")
_SPOKEN: Final = {"type": "ConversationText", "role": "assistant", "conversational_behavior": "default"}
_TOO_EARLY: Final = {"type": "Error", "code": "NON_SETTINGS_MESSAGE_BEFORE_SETTINGS", "description": "Settings first."}


class _Wish(BaseModel, strict=True):
    ttl_seconds: float = Field(default=30, ge=1, le=3600)


class DeepgramStandIn:
    def __init__(self, port: int, key: str, script: Iterable[Step]) -> None:
        self.url, sockets = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        self.agent_url = sockets + _AGENT
        self.environment = DeepgramClientEnvironment(
            base=self.url, production=sockets, agent=sockets, agent_rest=self.url
        )
        self.script = deque(script)  # what is still to be played
        self.answers: Iterator[Response] = iter(())  # to the next grants; those after them are normal
        self.grants: list[Asked] = []
        self.settings: list[Any] = []  # one for each connection
        self.heard: list[Any] = []  # all else that clients said, sound included
        self.ahead = 0.0  # seconds by which tokens are older than they look
        self.over = asyncio.Event()
        self._key = key
        self._expiries: dict[str, float] = {}  # by token
        self._stage = asyncio.Lock()
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for ``condition`` to hold of what has been asked, heard or played."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def grant(self, request: Request) -> Response:
        asked = Asked(request.headers.get("authorization"), await request.body())
        self.grants.append(asked)
        self._news.set()
        answer = next(self.answers, NORMAL)
        if answer is NEVER:
            await self.over.wait()
        return self._granted(asked) if answer is NORMAL else answer

    async def converse(self, client: WebSocket) -> None:
        """Take a connection, which drops if it is still open when this returns."""
        protocols = client.headers.get("sec-websocket-protocol", "")
        if not self._admits(client.headers.get("authorization", protocols.replace(", ", " "))):
            await client.send_denial_response(_STRANGER)
            return
        await client.accept(subprotocol=protocols.partition(",")[0] or None)
        with suppress(WebSocketDisconnect):
            await self._settle(client)
            async with self._stage:
                await self._play(client)
            while True:
                await self._hear(client)

    def _granted(self, asked: Asked) -> Response:
        if asked.authorization != f"Token {self._key}":
            return _STRANGER
        try:
            seconds = _Wish.model_validate_json(asked.body or b"{}").ttl_seconds
        except ValidationError:
            return refusal(HTTPStatus.BAD_REQUEST, "Bad Request", "We could not process the JSON payload.")
        expiry = self._now() + seconds
        token = jwt.encode({"jti": str(uuid4()), "exp": int(expiry)}, _SECRET)
        self._expiries[token] = expiry
        return JSONResponse({"access_token": token, "expires_in": seconds})

    def _admits(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme.lower() == "bearer" and self._now() < self._expiries.get(token, 0)

    def _now(self) -> float:
        return time.time() + self.ahead

    async def _settle(self, client: WebSocket) -> None:
        await client.send_json({"type": "Welcome", "request_id": str(uuid4())})
        settings = await self._hear(client)
        if _type(settings) != "Settings":
            await client.send_json(_TOO_EARLY)
            await client.close()
            raise WebSocketDisconnect
        await client.send_json({"type": "SettingsApplied"})
        if greeting := _greeting(settings):
            await client.send_json(_SPOKEN | {"content": greeting})

    async def _play(self, client: WebSocket) -> None:
        while self.script:
            match step := self.script[0]:
                case WaitFor(kind):
                    while _type(await self._hear(client)) != kind:
                        pass
                case bytes():
                    await client.send_bytes(step)
                case dict():
                    await client.send_json(step)
                case "hang up":
                    await client.close()
            self.script.popleft()
            self._news.set()
            if step in (CUT, HANG_UP):
                raise WebSocketDisconnect

    async def _hear(self, client: WebSocket) -> Any:
        frame = await client.receive()
        if frame["type"] == "websocket.disconnect":
            raise WebSocketDisconnect
        message = frame["bytes"] if "bytes" in frame else json.loads(frame["text"])
        (self.settings if _type(message) == "Settings" else self.heard).append(message)
        self._news.set()
        return message


@asynccontextmanager
async def stand_in(*, key: str, script: Iterable[Step] = ()) -> AsyncIterator[DeepgramStandIn]:
    """Run a stand-in on a free port. Uvicorn is started by its parts, as it would take the signals otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        deepgram = DeepgramStandIn(listener.getsockname()[1], key, script)
        routes = [Route(_GRANT, deepgram.grant, methods=["POST"]), WebSocketRoute(_AGENT, deepgram.converse)]
        config = uvicorn.Config(Starlette(routes=routes), lifespan="off", log_config=None, timeout_graceful_shutdown=5)
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        try:
            yield deepgram
        finally:
            deepgram.over.set()
            await server.shutdown([listener])


def _type(message: Any) -> Any:
    return message.get("type") if isinstance(message, dict) else None


def _greeting(settings: Any) -> str | None:
    match settings:
        case {"agent": {"context": {"messages": [_, *_]}}}:
            return None
        case {"agent": {"greeting": str(greeting)}}:
            return greeting
    return None
