"""A sink to the service over HTTP; `refusals` defines which of its answers are final."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import anyio.lowlevel
import httpx

from verbatim_record.http_client import LIMITS, http_client, service_url
from verbatim_record.recorder.refusals import (
    BATCH_REFUSALS,
    is_unanswered,
    own_failure_of,
    problem_of,
    refusal_of,
    results_of,
    retry_after_of,
)
from verbatim_record.recorder.sinks import ERASED, LATER, ON_RECORD, Answer, BatchRefused, Unsent
from verbatim_record.vocabulary import CONVERSATION_ERASED

BATCH_PATH: Final = "/api/v1/voice/messages/batch"
JSON_BODY: Final = {"content-type": "application/json"}
_ERASED: Final = f"/problems/{CONVERSATION_ERASED}"
_NOT_VERBATIM: Final = "the answer is not from Verbatim"


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
        proxy: str | None = None,
    ) -> None:
        address = service_url(url, "A sink's address")
        self._url = address.copy_with(path=address.path.rstrip("/") + BATCH_PATH)
        self._token = token
        self._is_ours = client is None
        self._client = client or http_client(
            self._url, proxy=proxy, timeout=httpx.Timeout(10, connect=3), limits=LIMITS
        )

    async def open(self) -> None:
        """Load what the first request needs: that takes 25 ms, which would otherwise interrupt the conversation."""
        await anyio.lowlevel.checkpoint()

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
