"""`/voice/sessions`: a phone begins a call, forwards Deepgram's events, ends the call, and gets a receipt.

The receipt lists the sequence numbers of events that have not arrived, so that the phone can send them again.
"""

from collections import Counter
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Path, Request, Response, status

from backend import deepgram
from backend.api.auth import Editor, Reader, Writer
from backend.api.dependencies import API, BATCH_BYTES, Db, Tokens, appender_of, json_body, read, takes
from backend.api.openapi import REPLAYED, refusals
from backend.api.parse_thread import parsed
from backend.api.problems import problem_response, refusal_body, refusal_headers
from backend.errors import Invalid, RecordError
from backend.observability import metrics
from backend.schemas.fields import Label
from backend.schemas.items import parse_each
from backend.schemas.message import MOST_PER_BATCH
from backend.schemas.voice_session import (
    ProviderToken,
    Receipt,
    VoiceEventBatch,
    VoiceEventResults,
    VoiceSessionCreate,
    VoiceSessionEnd,
    VoiceSessionResponse,
    VoiceSessionState,
)
from backend.services import voice_events, voice_sessions
from backend.services.voice_events import RecordedEvent, Result
from backend.services.voice_sessions import Begun

router = APIRouter(prefix=f"{API}/voice/sessions", tags=["voice sessions"])

SessionId = Annotated[Label, Path()]
_LOCATION: Final = {"Location": {"description": "The path of the session.", "schema": {"type": "string"}}}


@router.post(
    "",
    operation_id="beginVoiceSession",
    status_code=status.HTTP_201_CREATED,
    response_model=VoiceSessionResponse,
    responses={
        200: {
            "model": VoiceSessionResponse,
            "description": "An earlier request with the same id began it.",
            "headers": REPLAYED,
        },
        201: {"description": "Begun.", "headers": _LOCATION},
        **refusals(404, 409, 410, 413, 415, 422, 502, 503),
    },
    openapi_extra=takes(VoiceSessionCreate),
)
async def begin_voice_session(request: Request, caller: Editor, database: Db, tokens: Tokens) -> Response:
    """Begin a call, in a new or an existing conversation, and get a token for Deepgram.

    When Deepgram issues no token (502, 503), the session has begun nevertheless: the problem has it as `session`.
    """
    begun = await voice_sessions.begin(database, caller, await read(VoiceSessionCreate, request))
    token = await voice_sessions.first_token(tokens)
    session = _session(begun, None if isinstance(token, RecordError) else token)
    if isinstance(token, RecordError):
        return problem_response(
            refusal_body(token) | {"session": session.model_dump(mode="json")}, refusal_headers(token)
        )
    headers = {"idempotency-replayed": "true"} if begun.replayed else {"location": f"{router.prefix}/{begun.id}"}
    code = status.HTTP_200_OK if begun.replayed else status.HTTP_201_CREATED
    return Response(session.model_dump_json(), code, headers, "application/json")


@router.get(
    "/{session_id}",
    operation_id="getVoiceSession",
    response_description="The state of the session.",
    responses=refusals(404, 422, 503),
)
async def get_voice_session(session_id: SessionId, caller: Reader, database: Db) -> VoiceSessionState:
    """Read the state of a session: its connections, its events by type, its errors and warnings."""
    return await voice_sessions.state(database, caller, session_id)


@router.post(
    "/{session_id}/token",
    operation_id="getDeepgramToken",
    response_description="A token for one connection.",
    responses=refusals(404, 409, 422, 502, 503),
)
async def get_deepgram_token(session_id: SessionId, caller: Writer, database: Db, tokens: Tokens) -> ProviderToken:
    """Get a new token for Deepgram, one for each connection."""
    return await voice_sessions.token(database, caller, session_id, tokens)


@router.post(
    "/{session_id}/events",
    operation_id="recordVoiceEvents",
    response_model=VoiceEventResults,
    responses={
        200: {"description": "The result of each event, in the order sent."},
        **refusals(404, 413, 415, 422, 503),
    },
    openapi_extra=takes(VoiceEventBatch),
)
async def record_voice_events(session_id: SessionId, request: Request, caller: Writer, database: Db) -> Response:
    """Record up to 500 of Deepgram's events, in the form in which Deepgram sent them.

    Spoken text becomes messages; of other events the service stores what they say of messages and of the call. A
    refused event does not stop the others. A retry with the same events changes nothing.
    """
    body = await json_body(request, most=BATCH_BYTES)
    events = await parsed(request, _events, body)
    results = await voice_events.record(database, appender_of(request), caller, session_id, events)
    valid = [event for event in events if isinstance(event, deepgram.Event)]
    for kind, count in Counter(event.known_type for event in valid).items():
        metrics.VOICE_EVENTS.labels(kind).inc(count)
    metrics.UNKNOWN_FIELDS.inc(sum(event.unknown_fields for event in valid))
    return Response(orjson.dumps({"results": [_result(each) for each in results]}), media_type="application/json")


@router.post(
    "/{session_id}/end",
    operation_id="endVoiceSession",
    responses={
        200: {"description": "Ended, by this request or before with the same facts.", "headers": REPLAYED},
        **refusals(404, 409, 413, 415, 422, 503),
    },
    openapi_extra=takes(VoiceSessionEnd),
)
async def end_voice_session(
    session_id: SessionId, request: Request, response: Response, caller: Writer, database: Db
) -> Receipt:
    """End a call, and get its receipt. Events that arrive later are still recorded."""
    facts = await read(VoiceSessionEnd, request)
    receipt, replayed = await voice_sessions.end(database, caller, session_id, facts)
    if replayed:
        response.headers["idempotency-replayed"] = "true"
    return receipt


@router.get(
    "/{session_id}/receipt",
    operation_id="getReceipt",
    response_description="The receipt as of now.",
    responses=refusals(404, 422, 503),
)
async def get_receipt(session_id: SessionId, caller: Reader, database: Db) -> Receipt:
    """Read how many events of a session are on record, and which sequence numbers of the phone are missing."""
    return await voice_sessions.receipt(database, caller, session_id)


def _events(body: bytes) -> list[deepgram.Event | Invalid]:
    return parse_each(deepgram.read, body, "events", most=MOST_PER_BATCH)


def _session(begun: Begun, token: ProviderToken | None) -> VoiceSessionResponse:
    return VoiceSessionResponse(
        id=begun.id,
        conversation_id=begun.conversation_id,
        started_at=begun.started_at,
        next_client_sequence=begun.next_client_sequence,
        deepgram=token,
    )


def _result(result: Result) -> dict[str, object]:
    if isinstance(result, RecordedEvent):
        messages = [orjson.Fragment(recorded.document) for recorded in result.messages]
        return {"kind": "recorded", "status": 200 if result.replayed else 201, "messages": messages}
    problem = refusal_body(result)
    return {"kind": "problem", "status": problem["status"], "problem": problem}
