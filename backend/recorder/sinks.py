"""Sinks: where a recorder sends its messages, into the database of this process or to the service over HTTP.

A sink gets messages as JSON, in order, and returns for each whether it is on record, refused for good, or to be sent
again. If the outcome is unknown it raises Unsent, and all are sent again; their ids prevent duplicates. `refusals`
defines which answers of the service are final.
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
    BATCH_REFUSALS,
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
_NOT_VERBATIM: Final = "the answer is not from Verbatim"
_KEEPALIVE: Final = 4.0  # seconds; shorter than the service's keep-alive, so that it does not close first


class Unsent(Exception):
    """The outcome for the messages is unknown: send them again, after ``retry_after`` seconds if it is given.

    The sentence quotes none of the messages.
    """

    def __init__(self, why: str, retry_after: float | None = None) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class BatchRefused(Unsent):
    """The request was refused because of one of its messages; the writer finds it by sending halves.

    Raised for a single message, it refuses that message for good; the sentence is the reason.
    """


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome for one message: ``final``, or to be sent again.

    A final answer with a ``reason`` is a refusal. An answer that is not final has a ``reason`` if this message alone
    failed, such as by a constraint of the host's database. A refused message stays in the spool, unless it is
    ``forgotten`` because its conversation was erased.
    """

    final: bool
    reason: str | None = None
    forgotten: bool = False


ON_RECORD: Final = Answer(final=True)
LATER: Final = Answer(final=False)
ERASED: Final = Answer(final=True, reason="the conversation was erased", forgotten=True)


class Sink(Protocol):
    """The interface of a sink."""

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        """Record messages (JSON, as for `POST /voice/messages`) and return an answer for each, in order.

        Raises Unsent or BatchRefused.
        """

    async def aclose(self) -> None:
        """Close what the sink has opened; the recorder sends nothing afterwards."""


class AppenderSink:
    """A sink into the database of this process; the caller keeps ``appender`` open longer than the recorder."""

    def __init__(self, appender: Appender, principal: Principal) -> None:
        self._appender = appender
        self._principal = principal

    async def send(self, messages: Sequence[bytes]) -> Sequence[Answer]:
        """Append ``messages`` in order and return an answer for each; raises Unsent if the database is unavailable."""
        parsed = [_parsed(message) for message in messages]
        good = [message for message in parsed if isinstance(message, MessageCreate)]
        try:
            outcomes = iter(await self._appender.append(self._principal, good) if good else [])
        except RecordError as error:
            raise Unsent(str(error)) from None
        return [_answer(next(outcomes) if isinstance(each, MessageCreate) else each) for each in parsed]

    async def aclose(self) -> None:
        """Do nothing: the appender belongs to the caller."""


class HttpSink:
    """A sink to the service at ``url``, with the bearer ``token`` if one is given.

    For a token that expires pass a function, which is called before each request and returns the token to send. The
    requests go through ``proxy``, except to this machine; variables such as `HTTP_PROXY` are not read. ``client``
    replaces the sink's own HTTP client, and stays open at the end. Raises SetupError if ``url`` is not an HTTP address.
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
        """Post ``messages`` in one request and return an answer for each; raises Unsent or BatchRefused."""
        body = b'{"messages":[%b]}' % b",".join(messages)
        try:
            response = await self._client.post(self._url, content=body, headers=self._headers())
        except httpx.HTTPError as error:
            raise Unsent(f"no answer from the service ({type(error).__name__})") from None
        if response.status_code in BATCH_REFUSALS:
            problem = problem_of(response)
            # A proxy's 413 does not refuse a single message: the service itself might accept it.
            if problem or len(messages) > 1:
                raise BatchRefused(f"{response.status_code} {problem['type'] if problem else response.reason_phrase}")
        if response.status_code != httpx.codes.OK:
            raise Unsent(f"the service answers {response.status_code}", retry_after_of(response))
        results = results_of(response.content, len(messages))
        if results is None:
            raise Unsent(_NOT_VERBATIM)
        return [_answer_to(result) for result in results]

    async def aclose(self) -> None:
        """Close the connections, unless the client was passed in."""
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


def _answer_to(result: Any) -> Answer:
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
    raise Unsent(_NOT_VERBATIM)
