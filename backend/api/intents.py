"""`/conversations/{id}/intent`: what the person wants done. The service delivers it to the orchestrator by webhook."""

from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from backend.api.auth import IntentWriter, Reader
from backend.api.dependencies import API, Db, outbox_of, read, takes
from backend.api.etags import IfMatch, if_match, not_modified
from backend.api.openapi import CONDITIONAL, IF_MATCH, REPLAYED, TAGGED, UNCHANGED, refusals
from backend.schemas.intent import ConversationIntent, IntentPut
from backend.services import intents
from backend.services.intents import CurrentIntent, Replaceable

router = APIRouter(prefix=f"{API}/conversations/{{conversation_id}}/intent", tags=["intents"])


@router.put(
    "",
    operation_id="putIntent",
    response_model=ConversationIntent,
    responses={
        200: {"description": "The intent is set, by this request or before.", "headers": REPLAYED | TAGGED},
        **refusals(404, 409, 410, 412, 413, 415, 422, 503),
    },
    openapi_extra=takes(IntentPut) | IF_MATCH,
)
async def put_intent(request: Request, conversation_id: UUID, caller: IntentWriter, database: Db) -> Response:
    """Set the intent, and queue its delivery to the orchestrator in the same transaction.

    A request with the same intent and payload changes nothing and gets the same response. Another intent is refused
    unless `If-Match` names the version that it replaces: 409 without that header, 412 if it names another version.
    """
    wanted = await read(IntentPut, request)
    replaceable = _replaceable(if_match(request))
    return _response(
        await intents.put(database, caller, conversation_id, wanted, replaceable=replaceable, outbox=outbox_of(request))
    )


@router.get(
    "",
    operation_id="getIntent",
    response_model=ConversationIntent,
    responses={
        200: {"description": "The current intent.", "headers": TAGGED},
        304: UNCHANGED,
        **refusals(404, 412, 422, 503),
    },
    openapi_extra=CONDITIONAL,
)
async def get_intent(request: Request, conversation_id: UUID, caller: Reader, database: Db) -> Response:
    """Read the current intent."""
    current = await intents.get(database, caller, conversation_id)
    return not_modified(request, _tag(current.version)) or _response(current)


def _replaceable(wanted: IfMatch | None) -> Replaceable | None:
    if wanted is None:
        return None
    return lambda version: wanted.require(*([] if version is None else [_tag(version)]))


def _tag(version: str) -> str:
    return f'"{version}"'


def _response(current: CurrentIntent) -> Response:
    body = {
        "conversation_id": str(current.conversation_id),
        "intent": current.intent,
        "payload": orjson.Fragment(current.payload),
        "version": current.version,
        "delivery_id": None if current.delivery_id is None else str(current.delivery_id),
    }
    headers = {"etag": _tag(current.version)} | ({"idempotency-replayed": "true"} if current.replayed else {})
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
