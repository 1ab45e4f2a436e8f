"""Where a recorder's messages go: into the database of this process, or to the service over HTTP.

A sink takes messages as JSON, in order, and says of each what became of it: on record, refused for good, or to be
sent again. When it can say nothing it raises Unsent, and all are sent again; their ids make that harmless. `refusals`
tells which answers are final.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import anyio._backends._asyncio  # noqa: F401 -- or the first request would look for it, for 25 ms of a conversation
import httpcore._backends.anyio  # noqa: F401 -- and for this
import httpx
from pydantic import SecretStr

from backend.errors import ConversationErased, Invalid, NotRecorded, RecordError, Refused
from backend.http_client import http_client, service_url
from backend.principal import Principal
from backend.recorder.refusals import (
    SPOILT,
    is_unanswered,
    own_failure_of,
    problem_of,
    refusal_of,
    results_of,
    retry_after_of,
)
from backend.schemas.message import MessageCreate
from backend.schemas.parsing import parse
from backend.services.append_transaction import Outcome, Recorded
from backend.services.appender import Appender
from backend.vocabulary import CONVERSATION_ERASED

BATCH_PATH: Final = "/api/v1/voice/messages/batch"
JSON_BODY: Final = {"content-type": "application/json"}
_ERASED: Final = f"/problems/{CONVERSATION_ERASED}"
_STRANGER: Final = "what answers is not Verbatim"
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
    """What became of one message: ``final`` or to be sent again.

    A final answer with a ``reason`` is a refusal; one that is not final has a ``reason`` if this message failed by
    itself, as for a rule of the host's in the database. What is refused is kept in the spool, unless it is
    ``forgotten``: said in a conversation that was erased.
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

    A ``token`` that expires is given as a function, which is called before each request and returns the token to send.
    The sink's own client uses no proxy but ``proxy``, and that not for this machine: `HTTP_PROXY` and its like are not
    read. Raises SetupError when ``url`` is no address.
    """

    def __init__(
        self,
        url: str,
        token: str | Callable[[], str] | None = None,
        *,
        client: httpx.AsyncClient | None = None,
        proxy: SecretStr | None = None,
    ) -> None:
        address = service_url(url, "A sink's address")
        self._url = address.copy_with(path=address.path.rstrip("/") + BATCH_PATH)
        self._token = token
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
            response = await self._client.post(self._url, content=body, headers=self._headers())
        except httpx.HTTPError as error:
            raise Unsent(f"no answer from the service ({type(error).__name__})") from None
        if response.status_code in SPOILT:
            problem = problem_of(response)
            # A proxy's 413 says nothing of a single message: the service may take it, once it gets there.
            if problem or len(messages) > 1:
                raise BatchRefused(f"{response.status_code} {problem['type'] if problem else response.reason_phrase}")
        if response.status_code != httpx.codes.OK:
            raise Unsent(f"the service answers {response.status_code}", retry_after_of(response))
        results = results_of(response.content, len(messages))
        if results is None:
            raise Unsent(_STRANGER)
        return [_judge(result) for result in results]

    async def aclose(self) -> None:
        """Close the connections, unless they are somebody else's."""
        if self._is_ours:
            await self._client.aclose()

    def _headers(self) -> dict[str, str]:
        token = self._token() if callable(self._token) else self._token
        return JSON_BODY | ({"authorization": f"Bearer {token}"} if token else {})


def _parsed(message: bytes) -> MessageCreate | RecordError:
    try:
        return parse(MessageCreate, message)
    except RecordError as error:
        return error


def _answer(outcome: Outcome) -> Answer:
    if isinstance(outcome, Recorded):
        return ON_RECORD
    if isinstance(outcome, ConversationErased):
        return ERASED
    if isinstance(outcome, Invalid):
        return Answer(final=True, reason="; ".join(f"{fault.pointer} {fault.detail}" for fault in outcome.faults))
    if isinstance(outcome, Refused):
        return Answer(final=True, reason=str(outcome))
    return Answer(final=False, reason=str(outcome)) if isinstance(outcome, NotRecorded) else LATER


def _judge(result: Any) -> Answer:
    match result:
        case {"status": 200 | 201}:
            return ON_RECORD
    if refusal := refusal_of(result):
        kind = refusal["type"]
        return ERASED if kind == _ERASED else Answer(final=True, reason=f"{result['status']} {kind}")
    if kind := own_failure_of(result):
        return Answer(final=False, reason=f"500 {kind}")
    if is_unanswered(result):
        return LATER
    raise Unsent(_STRANGER)
