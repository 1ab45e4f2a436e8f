"""Redactions, holds, the retention, and the audit of what was done to the record."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from backend.api.auth import Governor, Redactor
from backend.api.dependencies import API, Db, read, takes
from backend.api.openapi import REPLAYED, refusals
from backend.schemas.audit import AuditPage, AuditQuery
from backend.schemas.hold import HoldPage, HoldPut, HoldQuery, HoldResponse
from backend.schemas.message import MessageResponse
from backend.schemas.redaction import RedactionCreate
from backend.schemas.retention import RetentionPlan
from backend.services import audit, holds, redaction, retention

router = APIRouter(prefix=API, tags=["governance"])


@router.put(
    "/conversations/{conversation_id}/hold",
    operation_id="holdConversation",
    response_description="The hold.",
    responses=refusals(404, 410, 413, 415, 422, 503),
    openapi_extra=takes(HoldPut),
)
async def hold_conversation(request: Request, conversation_id: UUID, caller: Governor, database: Db) -> HoldResponse:
    """Hold a conversation: until it is released, it can be neither erased nor redacted.

    The same reason again changes nothing. Another reason ends the hold, and begins one with that reason.
    """
    return await holds.put(database, caller, conversation_id, await read(HoldPut, request))


@router.delete(
    "/conversations/{conversation_id}/hold",
    operation_id="releaseConversation",
    response_description="Released.",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=refusals(404, 410, 422, 503),
)
async def release_conversation(conversation_id: UUID, caller: Governor, database: Db) -> None:
    """Release a conversation that is on hold; the hold stays in the list."""
    await holds.release(database, caller, conversation_id)


@router.post(
    "/conversations/{conversation_id}/messages/{message_id}/redact",
    operation_id="redactMessage",
    response_model=MessageResponse,
    responses={
        200: {"description": "The message, without the words.", "headers": REPLAYED},
        **refusals(404, 409, 410, 413, 415, 422, 503),
    },
    openapi_extra=takes(RedactionCreate),
)
async def redact_message(
    request: Request, conversation_id: UUID, message_id: UUID, caller: Redactor, database: Db
) -> Response:
    """Take words out of a message, for good; the message keeps its id and its place.

    Each range becomes `[redacted]`, and `metadata` keeps nothing that could have been said. The same request again
    changes nothing, although its ranges would now mean other words.
    """
    wanted = await read(RedactionCreate, request)
    redacted = await redaction.redact(database, caller, conversation_id, message_id, wanted)
    headers = {"idempotency-replayed": "true"} if redacted.replayed else {}
    return Response(redacted.document, headers=headers, media_type="application/json")


@router.get("/holds", operation_id="listHolds", response_description="A page of holds.", responses=refusals(422, 503))
async def list_holds(query: Annotated[HoldQuery, Query()], caller: Governor, database: Db) -> HoldPage:
    """List holds, newest first, also those that have ended, and those of conversations that are gone."""
    return await holds.newest(database, caller, query)


@router.get(
    "/retention",
    operation_id="getRetention",
    response_description="What the retention erases next.",
    responses=refusals(422, 503),
)
async def get_retention(request: Request, caller: Governor, database: Db) -> RetentionPlan:
    """Count what the retention erases next, for at most about ten seconds. Nothing is erased by this."""
    return await retention.plan(database, caller, request.state.retention)


@router.get(
    "/audit", operation_id="listAudit", response_description="A page of the audit.", responses=refusals(422, 503)
)
async def list_audit(query: Annotated[AuditQuery, Query()], caller: Governor, database: Db) -> AuditPage:
    """List what was done to the record, newest first: erasures, holds, exports of another's, tokens.

    Each entry was committed together with what it tells of. Nothing changes or removes an entry.
    """
    return await audit.newest(database, caller, query)
