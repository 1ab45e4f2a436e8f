"""`/conversations/{id}/intent`: what the person wants done, which the orchestrator is told."""

from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from backend.api.auth import IntentWriter, Reader
from backend.api.dependencies import API, Db, outbox_of, read, takes
from backend.api.etags import IfMatch, if_match
from backend.api.openapi import IF_MATCH, REPLAYED, TAGGED, refusals
from backend.schemas.intent import ConversationIntent, IntentPut
from backend.services import intents
from backend.services.intents import Replaceable, Standing

router = APIRouter(prefix=f"{API}/conversations/{{conversation_id}}/intent", tags=["intents"])


@router.put(
    "",
    operation_id="putIntent",
    response_model=ConversationIntent,
    responses={
        200: {"description": "It stands, now or before.", "headers": REPLAYED | TAGGED},
        **refusals(404, 409, 410, 412, 413, 415, 422, 503),
    },
    openapi_extra=takes(IntentPut) | IF_MATCH,
)
async def put_intent(request: Request, conversation_id: UUID, caller: IntentWriter, database: Db) -> Response:
    """Set the intent, and queue what tells the orchestrator of it in the same commit.

    Again with the same intent and payload changes nothing and gets the same answer. Another one is refused unless
    `If-Match` names the version that it replaces: 409 without that header, 412 if it names another version.
    """
    wanted = await read(IntentPut, request)
    replaceable = _replaceable(if_match(request))
    return _answer(
        await intents.put(database, caller, conversation_id, wanted, replaceable=replaceable, outbox=outbox_of(request))
    )


@router.get(
    "",
    operation_id="getIntent",
    response_model=ConversationIntent,
    responses={200: {"description": "What stands.", "headers": TAGGED}, **refusals(404, 412, 422, 503)},
    openapi_extra=IF_MATCH,
)
async def get_intent(request: Request, conversation_id: UUID, caller: Reader, database: Db) -> Response:
    """Read the intent as it stands."""
    standing = await intents.get(database, caller, conversation_id)
    if wanted := if_match(request):
        wanted.require(_tag(standing.version))
    return _answer(standing)


def _replaceable(wanted: IfMatch | None) -> Replaceable | None:
    if wanted is None:
        return None
    return lambda version: wanted.require(*([] if version is None else [_tag(version)]))


def _tag(version: str) -> str:
    return f'"{version}"'


def _answer(standing: Standing) -> Response:
    body = {
        "conversation_id": str(standing.conversation_id),
        "intent": standing.intent,
        "payload": orjson.Fragment(standing.payload),
        "version": standing.version,
        "delivery_id": None if standing.delivery_id is None else str(standing.delivery_id),
    }
    headers = {"etag": _tag(standing.version)} | ({"idempotency-replayed": "true"} if standing.replayed else {})
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
