"""`/voice/messages`: pipelines and phones record messages, one by one or in batches."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import orjson
from fastapi import APIRouter, Request, Response, status
from pydantic import ValidationError

from backend.api.auth import caller_of, needs
from backend.api.dependencies import API, BATCH_BYTES, appender_of, json_body, read, session_reopener_of, takes
from backend.api.json_response import JsonResponse
from backend.api.openapi import REPLAYED, refusals
from backend.api.parse_thread import parsed
from backend.api.problems import refusal, refusal_body
from backend.errors import Invalid
from backend.schemas.items import parse_each
from backend.schemas.message import MOST_PER_BATCH, BatchResults, MessageBatch, MessageCreate, MessageResponse
from backend.schemas.parsing import parse_item
from backend.services.append_transaction import Outcome, Recorded
from backend.vocabulary import Scope

router = APIRouter(prefix=f"{API}/voice/messages", tags=["messages"])

_HEADERS: Final = {"Location": {"description": "The path that reads the message.", "schema": {"type": "string"}}}


# The hottest route. The body goes from bytes to a validated message, and the response from the row to bytes, without
# FastAPI's layers between them; so OpenAPI's fields are declared here instead of derived from a signature.
@router.post(
    "",
    operation_id="recordMessage",
    status_code=status.HTTP_201_CREATED,
    response_model=MessageResponse,
    responses={
        200: {
            "model": MessageResponse,
            "description": "An earlier request recorded it; the same response as then.",
            "headers": REPLAYED,
        },
        201: {"description": "Recorded: committed to disk.", "headers": _HEADERS},
        **refusals(404, 409, 410, 413, 415, 422, 503),
    },
    openapi_extra=takes(MessageCreate) | needs(Scope.MESSAGES_WRITE),
)
async def record_message(request: Request) -> Response:
    """Record one message. A retry with the same id changes nothing and gets the same response."""
    caller = caller_of(request, Scope.MESSAGES_WRITE)
    message = await read(MessageCreate, request)
    [outcome] = await appender_of(request).append(caller, [message])
    if not isinstance(outcome, Recorded):
        return refusal(outcome)
    if message.voice_session_id:
        await session_reopener_of(request).note([outcome])
    if outcome.replayed:
        return JsonResponse(outcome.document, status.HTTP_200_OK, (b"idempotency-replayed", b"true"))
    return JsonResponse(outcome.document, status.HTTP_201_CREATED, (b"location", _location(outcome).encode()))


@router.post(
    "/batch",
    operation_id="recordMessages",
    response_model=BatchResults,
    responses={
        200: {"description": "The result of each message, in the order sent."},
        **refusals(413, 415, 422, 503),
    },
    openapi_extra=takes(MessageBatch) | needs(Scope.MESSAGES_WRITE),
)
async def record_messages(request: Request) -> Response:
    """Record up to 500 messages, in order. Each has its own result; a refused one does not stop the others."""
    caller = caller_of(request, Scope.MESSAGES_WRITE)
    items = await parsed(request, _items, await json_body(request, most=BATCH_BYTES))
    invalid = {place: item for place, item in enumerate(items) if isinstance(item, Invalid)}
    appending = appender_of(request).append(caller, [item for item in items if not isinstance(item, Invalid)])
    places = range(len(items))
    del items  # before the messages wait: parsed metadata takes up to twenty times the memory of its JSON
    appended = await appending
    await session_reopener_of(request).note(outcome for outcome in appended if isinstance(outcome, Recorded))
    outcomes = iter(appended)
    results = [_result(invalid[place] if place in invalid else next(outcomes)) for place in places]
    return JsonResponse(orjson.dumps({"results": results}))


def _items(body: bytes) -> Sequence[MessageCreate | Invalid]:
    try:
        return MessageBatch.model_validate_json(body).messages  # in one pass, at half the cost
    except ValidationError:
        return parse_each(partial(parse_item, MessageCreate), body, "messages", most=MOST_PER_BATCH)


def _result(outcome: Outcome) -> dict[str, object]:
    if isinstance(outcome, Recorded):
        return {
            "kind": "recorded",
            "status": 200 if outcome.replayed else 201,
            "message": orjson.Fragment(outcome.document),
        }
    problem = refusal_body(outcome)
    return {"kind": "problem", "status": problem["status"], "problem": problem}


def _location(recorded: Recorded) -> str:
    place = f"{API}/conversations/{recorded.message.conversation_id}/messages"
    return f"{place}?order=recorded&after_sequence={recorded.sequence - 1}&limit=1"
