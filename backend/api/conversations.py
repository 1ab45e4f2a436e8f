"""`/conversations`: what messages belong to."""

from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from backend.api.auth import Editor, Eraser, Reader
from backend.api.dependencies import API, Db, read, takes
from backend.api.etags import entity_tag, if_match, known
from backend.api.openapi import IF_MATCH, REPLAYED, TAGGED, UNCHANGED, refusals
from backend.schemas.conversation import (
    ConversationCreate,
    ConversationEnd,
    ConversationPatch,
    ConversationQuery,
    ConversationResponse,
)
from backend.schemas.page import Page
from backend.services import conversations
from backend.services.conversations import Precondition

router = APIRouter(prefix=f"{API}/conversations", tags=["conversations"])

_LOCATION: Final = {"Location": {"description": "Where the conversation is.", "schema": {"type": "string"}}}


@router.post(
    "",
    operation_id="createConversation",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {"model": ConversationResponse, "description": "Open before, with the same content.", "headers": REPLAYED},
        201: {"description": "Opened.", "headers": _LOCATION},
        **refusals(409, 410, 413, 415, 422, 503),
    },
    openapi_extra=takes(ConversationCreate),
)
async def create_conversation(
    request: Request, response: Response, caller: Editor, database: Db
) -> ConversationResponse:
    """Open a conversation, with a service's token for a person, too. With an id of your choice a retry opens no second.

    The same id, context type and owner again: 200, and the conversation as it stands.
    """
    conversation, replayed = await conversations.create(database, caller, await read(ConversationCreate, request))
    if replayed:
        response.status_code = status.HTTP_200_OK
        response.headers["idempotency-replayed"] = "true"
    else:
        response.headers["location"] = f"{API}/conversations/{conversation.id}"
    return conversation


@router.get("", operation_id="listConversations", responses=refusals(422, 503))
async def list_conversations(
    query: Annotated[ConversationQuery, Query()], caller: Reader, database: Db
) -> Page[ConversationResponse]:
    """List conversations, newest first."""
    return await conversations.newest(database, caller, query)


@router.get(
    "/{conversation_id}",
    operation_id="getConversation",
    response_model=ConversationResponse,
    responses={200: {"headers": TAGGED}, 304: UNCHANGED, **refusals(404, 412, 422, 503)},
    openapi_extra=IF_MATCH,
)
async def get_conversation(request: Request, conversation_id: UUID, caller: Reader, database: Db) -> Response:
    """Read one conversation, without its messages."""
    found = await conversations.get(database, caller, conversation_id)
    answer = _answer(found)
    return known(request, answer.headers["etag"]) or answer


@router.patch(
    "/{conversation_id}",
    operation_id="linkConversation",
    response_model=ConversationResponse,
    responses={200: {"headers": TAGGED}, **refusals(404, 412, 413, 415, 422, 503)},
    openapi_extra=takes(ConversationPatch) | IF_MATCH,
)
async def link_conversation(conversation_id: UUID, request: Request, caller: Editor, database: Db) -> Response:
    """Link a conversation to a goal or a task of the host, or take a link away with `null`."""
    patch = await read(ConversationPatch, request)
    return _answer(await conversations.link(database, caller, conversation_id, patch, _precondition(request)))


@router.post(
    "/{conversation_id}/end",
    operation_id="endConversation",
    response_model=ConversationResponse,
    responses={
        200: {"description": "Ended, now or before in the same way.", "headers": REPLAYED | TAGGED},
        **refusals(404, 409, 412, 413, 415, 422, 503),
    },
    openapi_extra=takes(ConversationEnd) | IF_MATCH,
)
async def end_conversation(conversation_id: UUID, request: Request, caller: Editor, database: Db) -> Response:
    """End a conversation that has no voice session. What comes late is recorded all the same."""
    facts = await read(ConversationEnd, request)
    ended, replayed = await conversations.end(database, caller, conversation_id, facts, _precondition(request))
    return _answer(ended, {"idempotency-replayed": "true"} if replayed else {})


@router.delete(
    "/{conversation_id}",
    operation_id="eraseConversation",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=refusals(404, 409, 412, 422, 503),
    openapi_extra=IF_MATCH,
)
async def erase_conversation(request: Request, conversation_id: UUID, caller: Eraser, database: Db) -> None:
    """Erase a conversation and everything said in it, for good."""
    await conversations.erase(database, caller, conversation_id, _precondition(request))


def _precondition(request: Request) -> Precondition | None:
    wanted = if_match(request)
    if wanted is None:
        return None
    return lambda found: wanted.require(entity_tag(found.model_dump_json()))


def _answer(found: ConversationResponse, headers: Mapping[str, str] | None = None) -> Response:
    body = found.model_dump_json()
    return Response(body, headers={"etag": entity_tag(body), **(headers or {})}, media_type="application/json")
