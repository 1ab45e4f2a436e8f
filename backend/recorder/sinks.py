"""Where a recorder's messages go: into the database of this process, or to the service over HTTP.

A sink takes messages as JSON, in order, and says of each what became of it: on record, refused for good, or to be
sent again. When it can say nothing it raises Unsent, and all are sent again; their ids make that harmless. Only a
sentence about a single message can be final: a token that has run out or a proxy that knows no such address is nothing
that the message has done wrong.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio._backends._asyncio  # noqa: F401 -- or the first request would look for it, for 25 ms of a conversation
import httpcore._backends.anyio  # noqa: F401 -- and for this
import httpx
import orjson
from pydantic import SecretStr

from backend.errors import ConversationErased, Invalid, RecordError, SetupError, Unavailable
from backend.outgoing import http_client
from backend.principal import Principal
from backend.schemas.message import MessageCreate
from backend.schemas.parsing import parse
from backend.services.appender import Appender
from backend.services.recording import Outcome, Recorded

LONGEST_WAIT: Final = 30.0  # seconds, whatever Retry-After asks for

_BATCH: Final = "/api/v1/voice/messages/batch"
_JSON: Final = {"content-type": "application/json"}
_PROBLEM: Final = re.compile(r"/problems/[a-z-]+")
_STRANGER: Final = "what answers is not Verbatim"
# What a request may be answered because of one message in it.
_SPOILT: Final = {httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY}
_KEEPALIVE: Final = 4.0  # seconds, which is less than the service keeps an idle connection


class Unsent(Exception):
    """Nobody knows what became of the messages. The sentence quotes none of them; ``retry_after`` is in seconds."""

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class BatchRefused(Unsent):
    """The request was refused for what is in it; which message that is, half of them at a time will tell.

    Raised for a single message, it refuses that for good; the sentence is the reason.
    """


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one message: ``final`` or to be sent again; refused when there is a ``reason``.

    What is refused is kept for somebody to look at, unless it is ``forgotten``: said in a conversation that was erased.
    """

    final: bool
    reason: str | None = None
    forgotten: bool = False


ON_RECORD: Final = Answer(final=True)
LATER: Final = Answer(final=False)
ERASED: Final = Answer(final=True, reason="the conversation was erased", forgotten=True)


class Sink(Protocol):
    """What a recorder sends to."""

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        """Put messages (JSON, as `POST /voice/messages` takes it) on record; raises Unsent or BatchRefused."""

    async def aclose(self) -> None:
        """Let go of what was opened. No recorder sends any more."""


class AppenderSink:
    """The database of this process. The appender is the host's, and open for longer than the recorder."""

    def __init__(self, appender: Appender, principal: Principal) -> None:
        self._appender = appender
        self._principal = principal

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        """Append ``messages`` in order."""
        parsed = [_parsed(message) for message in messages]
        good = [message for message in parsed if isinstance(message, MessageCreate)]
        try:
            outcomes = iter(await self._appender.append(self._principal, good) if good else [])
        except RecordError as error:
            raise Unsent(str(error)) from None
        return [_answer(next(outcomes) if isinstance(each, MessageCreate) else each) for each in parsed]

    async def aclose(self) -> None:
        """Nothing was opened."""


class HttpSink:
    """The service at ``url``, with ``token`` if it wants one. ``client`` stands in for a client of the sink's own.

    The sink's own client uses no proxy but ``proxy``, and that not for this machine: `HTTP_PROXY` and its like are not
    read. Raises SetupError when ``url`` is no address.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        client: httpx.AsyncClient | None = None,
        proxy: SecretStr | None = None,
    ) -> None:
        self._url = _address(url)
        self._headers = _JSON | ({"authorization": f"Bearer {token}"} if token else {})
        self._is_ours = client is None
        self._client = client or http_client(
            self._url,
            proxy=proxy,
            timeout=httpx.Timeout(10, connect=3),
            limits=httpx.Limits(keepalive_expiry=_KEEPALIVE),
        )

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        """Post ``messages`` in one request; raises as `Sink.send`."""
        body = b'{"messages":[%b]}' % b",".join(messages)
        try:
            response = await self._client.post(self._url, content=body, headers=self._headers)
        except httpx.HTTPError as error:
            raise Unsent(f"no answer from the service ({type(error).__name__})") from None
        if response.status_code in _SPOILT:
            problem = _problem(response.content)
            # A proxy's 413 says nothing of a single message: the service may take it, once it gets there.
            if problem or len(messages) > 1:
                raise BatchRefused(f"{response.status_code} {problem or response.reason_phrase}")
        if response.status_code != httpx.codes.OK:
            raise Unsent(f"the service answers {response.status_code}", _retry_after(response))
        results = _results(response.content)
        if len(results) != len(messages):
            raise Unsent(_STRANGER)
        return [_judge(result) for result in results]

    async def aclose(self) -> None:
        """Close the connections, unless they are somebody else's."""
        if self._is_ours:
            await self._client.aclose()


def _parsed(message: bytes) -> MessageCreate | RecordError:
    try:
        return parse(MessageCreate, message)
    except RecordError as error:
        return error


def _answer(outcome: Outcome) -> Answer:
    if isinstance(outcome, Recorded):
        return ON_RECORD
    if isinstance(outcome, Unavailable):
        return LATER
    if isinstance(outcome, ConversationErased):
        return ERASED
    if isinstance(outcome, Invalid):
        return Answer(final=True, reason="; ".join(f"{fault.pointer} {fault.detail}" for fault in outcome.faults))
    return Answer(final=True, reason=str(outcome))


def _judge(result: Any) -> Answer:
    match result:
        case {"status": 200 | 201}:
            return ON_RECORD
        case {"status": 429 | 503}:
            return LATER
        case {"status": 410}:
            return ERASED
        case {"status": int(status), "problem": {"type": str(kind)}} if _PROBLEM.search(kind):
            return Answer(final=True, reason=f"{status} {kind}")
    raise Unsent(_STRANGER)


def _problem(body: bytes) -> str | None:
    """Return the type of the problem that the service's answer describes, if it is the service's."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    match document:
        case {"type": str(kind)} if _PROBLEM.search(kind):
            return kind
    return None


def _results(body: bytes) -> list[Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    match document:
        case {"results": list(results)}:
            return results
    raise Unsent(_STRANGER)


def _retry_after(response: httpx.Response) -> float | None:
    seconds = response.headers.get("retry-after", "")
    return min(float(seconds), LONGEST_WAIT) if seconds.isdecimal() else None


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in {"http", "https"} or not address.host:
        raise SetupError("A sink's address must be that of a Verbatim service, as http://127.0.0.1:8000.")
    return address.copy_with(path=address.path.rstrip("/") + _BATCH)
