"""The sender of a replay: sends dialogues, with retries until every message has a final answer.

`recorder.refusals` defines which answers are final: only a problem document of the service about a conversation or a
message refuses it. Any other failure is retried until the service has accepted nothing for ``patience`` seconds, which
ends the run with an error. A token that the service refuses ends the run at once, because a retry has no other token.
"""

import random
import re
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

import httpx
import orjson
import stamina

from backend.replay.identity import message_id
from backend.replay.source import Dialogue, RecordedMessage
from backend.replay.tally import Tally
from backend.replay.watch import Watch
from backend.schemas.message import MOST_PER_BATCH
from backend.vocabulary import BODY_TOO_LARGE, CONVERSATION_ID_REUSED, ContextType
from verbatim_record.recorder.entry import LONGEST_BODY
from verbatim_record.recorder.http_sink import BATCH_PATH, JSON_BODY
from verbatim_record.recorder.refusals import (
    BATCH_REFUSALS,
    FINAL,
    is_unanswered,
    own_failure_of,
    problem_of,
    refusal_of,
    results_of,
    retry_after_of,
)
from verbatim_record.setup_error import SetupError

BATCH_BYTES: Final = 2**20  # a quarter of the service's limit for a request

_CONVERSATIONS: Final = "/api/v1/conversations"
_TAKEN: Final = f"/problems/{CONVERSATION_ID_REUSED}"
# The statuses with which a problem of the service refuses the caller, and not the message.
_CALLER: Final = {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN, httpx.codes.MISDIRECTED_REQUEST}
_TOO_LARGE: Final = f"/problems/{BODY_TOO_LARGE}"
_FIELD: Final = re.compile(r"(?:/messages/\d+)?(/\w+)?")
_RETRY: Final = stamina.AsyncRetryingCaller(attempts=None, timeout=None)


class _Unanswered(Exception):
    """There is no final answer: the request is repeated, after ``retry_after`` seconds if the service asks for it."""

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"it answers {status}")
        self.status = status
        self.retry_after = retry_after


class _NotVerbatim(_Unanswered):
    """The answer does not come from Verbatim, but from another program or a proxy."""


class Sender:
    """Sends dialogues to one service, and counts the outcomes in ``tally``."""

    def __init__(self, client: httpx.AsyncClient, tally: Tally, watch: Watch, patience: float) -> None:
        self._client = client
        self._tally = tally
        self._watch = watch
        self._patience = patience
        self._last_progress = time.monotonic()  # when the service last accepted or refused a message

    async def send_all(self, dialogues: Iterator[Dialogue]) -> None:
        """Send one dialogue after the other; raises SetupError if the service does not answer or is not Verbatim."""
        for dialogue in dialogues:
            if await _RETRY(self._retry_wait, self._open, dialogue):
                for batch in self._batches(dialogue.messages):
                    await self._record_all(batch)
                self._tally.misplaced += _misplaced(dialogue.messages)
            self._watch.advance()

    def _retry_wait(self, error: Exception) -> bool | float:
        """Return whether to retry after ``error``, or after how many seconds; raises SetupError to end the run."""
        if not isinstance(error, httpx.HTTPError | _Unanswered):
            return False
        if time.monotonic() - self._last_progress > self._patience:
            if isinstance(error, _NotVerbatim):
                raise SetupError(f"The program at {self._where()} is not Verbatim; check --url.") from None
            raise SetupError(
                f"The service at {self._where()} accepted nothing for {self._patience:g} seconds "
                f"({str(error) or type(error).__name__}). The messages that it accepted are on record; run the same "
                "command again for the rest."
            ) from None
        if isinstance(error, _NotVerbatim):
            self._watch.warn_once(
                f"The program at {self._where()} may not be Verbatim (status {error.status}); retrying for "
                f"{self._patience:g} seconds."
            )
        if isinstance(error, _Unanswered) and error.retry_after is not None:
            return error.retry_after + random.random()  # noqa: S311 -- so that not all come back at once
        return True

    async def _open(self, dialogue: Dialogue) -> bool:
        """Create the conversation, give the messages their ids, and return whether messages can be recorded in it."""
        conversation, otherwise = dialogue.conversation_ids
        status, answer = await self._create(conversation)
        if answer.get("type") == _TAKEN and await self._belongs_to_another(conversation):
            conversation = otherwise
            status, answer = await self._create(conversation)
        opened = _time(answer.get("created_at")) if status < httpx.codes.BAD_REQUEST else None
        if status < httpx.codes.BAD_REQUEST and answer.get("message_count"):
            path = f"{_CONVERSATIONS}/{conversation}/messages?order=recorded&limit=1"
            first, found = await self._final_answer("GET", path)
            if first >= httpx.codes.BAD_REQUEST:
                status, answer = first, found
            elif _ids(found) & {str(message_id(conversation, None, each.spot)) for each in dialogue.messages}:
                opened = None
        self._last_progress = time.monotonic()
        if status >= httpx.codes.BAD_REQUEST:
            self._tally.refused[_name(answer)] += 1 + len(dialogue.messages)
            return False
        self._tally.opened += status == httpx.codes.CREATED
        self._tally.reopened += status == httpx.codes.OK
        dialogue.address(conversation, opened)
        return True

    async def _create(self, conversation: UUID) -> tuple[int, dict[str, Any]]:
        wanted = {"id": conversation, "context_type": ContextType.VOICE}
        return await self._final_answer("POST", _CONVERSATIONS, orjson.dumps(wanted))

    async def _belongs_to_another(self, conversation: UUID) -> bool:
        """Return whether a taken id belongs to another owner, and not to the caller's conversation of another type."""
        status, answer = await self._final_answer("GET", f"{_CONVERSATIONS}/{conversation}")
        # Only a service token sees another owner's conversation; its own with this type would not have been refused.
        return status == httpx.codes.NOT_FOUND or answer.get("context_type") == ContextType.VOICE

    async def _record_all(self, batch: Sequence[RecordedMessage]) -> None:
        """Send a batch, in halves if the service refuses the whole because of one message."""
        if not await _RETRY(self._retry_wait, self._record, batch):
            middle = len(batch) // 2
            await self._record_all(batch[:middle])
            await self._record_all(batch[middle:])

    async def _record(self, batch: Sequence[RecordedMessage]) -> bool:
        """Send the messages without a final answer; return False if the batch must be sent in halves, else True.

        Raises _Unanswered if some messages are to be sent again.
        """
        waiting = [message for message in batch if not message.answered]
        if not waiting:
            return True
        body = b'{"messages":[%b]}' % b",".join(each.body for each in waiting)
        response = await self._request("POST", BATCH_PATH, body)
        # A proxy may refuse a large batch although the service would accept each of its messages.
        if response.status_code in BATCH_REFUSALS and len(waiting) > 1:
            return False
        if response.is_success:
            results = results_of(response.content, len(waiting))
        elif response.status_code in BATCH_REFUSALS and (problem := problem_of(response)):
            results = [{"status": response.status_code, "problem": problem}]
        else:
            raise _unanswered(response)
        if results is None:
            raise _NotVerbatim(response.status_code)
        for message, result in zip(waiting, results, strict=True):
            self._settle(message, result)
        if not all(message.answered for message in waiting):
            raise _Unanswered(max(result["status"] for result in results))
        return True

    def _settle(self, message: RecordedMessage, result: Any) -> None:
        match result:
            case {"status": 200 | 201 as status, "message": {"timestamp": str(said), "sequence": int(sequence)}}:
                message.place = _time(said), sequence
                self._tally.new += status == httpx.codes.CREATED
                self._tally.repeated += status == httpx.codes.OK
            case _:
                refusal = refusal_of(result) or self._isolated_failure(message, result)
                if refusal is None and is_unanswered(result):
                    return
                if refusal is None:
                    raise _NotVerbatim(httpx.codes.OK)
                self._tally.refused[_name(refusal)] += 1
        message.answered = True
        self._last_progress = time.monotonic()

    def _isolated_failure(self, message: RecordedMessage, result: Any) -> dict[str, Any] | None:
        """Return the problem if the service has failed for this message alone for ``patience`` seconds, else None.

        The service must have accepted another message meanwhile; if it accepts none, the service fails, not the
        message.
        """
        if own_failure_of(result) is None:
            return None
        now = time.monotonic()
        if message.failing is None:
            message.failing = now
        is_alone = self._last_progress >= message.failing and now - message.failing > self._patience
        problem: dict[str, Any] = result["problem"]
        return problem if is_alone else None

    async def _final_answer(self, method: str, path: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON of a final answer, success or refusal; raises _Unanswered for any other."""
        response = await self._request(method, path, body)
        if not response.is_success:
            problem = problem_of(response)
            if problem is None or response.status_code not in FINAL:
                raise _unanswered(response)
            return response.status_code, problem
        try:
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise _NotVerbatim(response.status_code)
        return response.status_code, answer

    async def _request(self, method: str, path: str, body: bytes | None) -> httpx.Response:
        """Send a request and return the response; raises SetupError if the service refuses the caller's token."""
        response = await self._client.request(method, path, content=body, headers=JSON_BODY if body else None)
        if response.status_code in _CALLER and (problem := problem_of(response)):
            raise SetupError(
                f"The service at {self._where()} refuses the token ({problem['type']}); set VERBATIM_TOKEN. The "
                "messages that it accepted are on record; run the same command again for the rest."
            )
        return response

    def _batches(self, messages: Sequence[RecordedMessage]) -> Iterator[list[RecordedMessage]]:
        """Yield batches of messages, in order, within the limits of a request."""
        batch: list[RecordedMessage] = []
        size = 0
        for message in messages:
            if len(message.body) > LONGEST_BODY:
                self._tally.refused[_TOO_LARGE] += 1  # the service would not read it
                continue
            if batch and (len(batch) == MOST_PER_BATCH or size + len(message.body) > BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(message)
            size += len(message.body)
        if batch:
            yield batch

    def _where(self) -> str:
        return self._client.base_url.netloc.decode()


def _unanswered(response: httpx.Response) -> _Unanswered:
    """Return the exception for an answer that is not final."""
    status = response.status_code
    # A 5xx or a 429 may come from a proxy in front of a service that is temporarily unavailable.
    is_passing = status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS
    kind = _Unanswered if is_passing or problem_of(response) else _NotVerbatim
    return kind(status, retry_after_of(response))


def _time(told: object) -> datetime:
    """Return a time in an answer of the service; raises _NotVerbatim if it is not one."""
    try:
        moment = datetime.fromisoformat(told) if isinstance(told, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _NotVerbatim(httpx.codes.OK)
    return moment


def _name(problem: dict[str, Any]) -> str:
    """Return the problem's type and the top-level fields that it points to, as a name for the counts."""
    fields = set()
    for fault in problem.get("errors") or ():
        match fault:
            case {"pointer": str(pointer)} if (found := _FIELD.match(pointer)) and found[1]:
                fields.add(found[1])
    return f"{problem['type']} at {', '.join(sorted(fields))}" if fields else str(problem["type"])


def _ids(page: dict[str, Any]) -> set[str]:
    match page:
        case {"data": [{"id": str(identity)}, *_]}:
            return {identity}
    return set()


def _misplaced(messages: Sequence[RecordedMessage]) -> int:
    places = [message.place for message in messages if message.place]
    return sum(later < earlier for earlier, later in pairwise(places))
