"""`/conversations/{id}/intent`: what the person wants done, which the orchestrator is told."""

import re
from typing import Final
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from backend.api.auth import IntentWriter, Reader
from backend.api.dependencies import API, Db, outbox_of, read, takes
from backend.api.openapi import REPLAYED, TAGGED, refusals
from backend.schemas.intent import ConversationIntent, IntentPut
from backend.services import intents
from backend.services.intents import ANY_VERSION, Standing

router = APIRouter(prefix=f"{API}/conversations/{{conversation_id}}/intent", tags=["intents"])

_TAG: Final = re.compile(r'(W/)?"([^"]*)"')

_IF_MATCH: Final = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "The version, or the versions, that this one may replace, as ETags; or `*`.",
            "schema": {"type": "string"},
        }
    ]
}


@router.put(
    "",
    operation_id="putIntent",
    response_model=ConversationIntent,
    responses={
        200: {"description": "It stands, now or before.", "headers": REPLAYED | TAGGED},
        **refusals(404, 409, 410, 413, 415, 422, 503),
    },
    openapi_extra=takes(IntentPut) | _IF_MATCH,
)
async def put_intent(request: Request, conversation_id: UUID, caller: IntentWriter, database: Db) -> Response:
    """Set the intent, and queue what tells the orchestrator of it in the same commit.

    Again with the same intent and payload changes nothing and gets the same answer. Another one is refused unless
    `If-Match` names the version that it replaces.
    """
    wanted = await read(IntentPut, request)
    replacing = _versions(request.headers.get("if-match"))
    return _answer(
        await intents.put(database, caller, conversation_id, wanted, replacing=replacing, outbox=outbox_of(request))
    )


@router.get(
    "",
    operation_id="getIntent",
    response_model=ConversationIntent,
    responses={200: {"description": "What stands.", "headers": TAGGED}, **refusals(404, 422, 503)},
)
async def get_intent(conversation_id: UUID, caller: Reader, database: Db) -> Response:
    """Read the intent as it stands."""
    return _answer(await intents.get(database, caller, conversation_id))


def _versions(if_match: str | None) -> set[str]:
    """Return what `If-Match` names. Compared strongly (RFC 9110, section 13.1.1): a weak tag matches nothing."""
    if if_match is None:
        return set()
    if if_match.strip() == ANY_VERSION:
        return {ANY_VERSION}
    return {"" if weak else version for weak, version in _TAG.findall(if_match)} or {""}


def _answer(standing: Standing) -> Response:
    body = {
        "conversation_id": str(standing.conversation_id),
        "intent": standing.intent,
        "payload": orjson.Fragment(standing.payload),
        "version": standing.version,
        "delivery_id": None if standing.delivery_id is None else str(standing.delivery_id),
    }
    headers = {"etag": f'"{standing.version}"'} | ({"idempotency-replayed": "true"} if standing.replayed else {})
    return Response(orjson.dumps(body), headers=headers, media_type="application/json")
