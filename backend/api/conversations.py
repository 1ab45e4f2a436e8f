"""`/conversations`: what messages belong to."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from backend.api.auth import Editor, Eraser, Reader
from backend.api.conditional import entity_tag, known
from backend.api.dependencies import API, Db, read, takes
from backend.api.openapi import REPLAYED, TAGGED, UNCHANGED, refusals
from backend.schemas.conversation import Conversation, ConversationCreate, ConversationPatch
from backend.schemas.page import ConversationQuery, Page
from backend.services import conversations

router = APIRouter(prefix=f"{API}/conversations", tags=["conversations"])

_LOCATION: Final = {"Location": {"description": "Where the conversation is.", "schema": {"type": "string"}}}


@router.post(
    "",
    operation_id="createConversation",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {"model": Conversation, "description": "Open before, with the same content.", "headers": REPLAYED},
        201: {"description": "Opened.", "headers": _LOCATION},
        **refusals(409, 410, 413, 415, 422, 503),
    },
    openapi_extra=takes(ConversationCreate),
)
async def create_conversation(request: Request, response: Response, caller: Editor, database: Db) -> Conversation:
    """Open a conversation. With an id of the sender's choice a retry opens no second one."""
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
) -> Page[Conversation]:
    """List conversations, newest first."""
    return await conversations.newest(database, caller, query)


@router.get(
    "/{conversation_id}",
    operation_id="getConversation",
    response_model=Conversation,
    responses={200: {"headers": TAGGED}, 304: UNCHANGED, **refusals(404, 422, 503)},
)
async def get_conversation(request: Request, conversation_id: UUID, caller: Reader, database: Db) -> Response:
    """Read one conversation, without its messages."""
    body = (await conversations.get(database, caller, conversation_id)).model_dump_json()
    tag = entity_tag(body)
    return known(request, tag) or Response(body, headers={"etag": tag}, media_type="application/json")


@router.patch(
    "/{conversation_id}",
    operation_id="linkConversation",
    responses=refusals(404, 413, 415, 422, 503),
    openapi_extra=takes(ConversationPatch),
)
async def link_conversation(conversation_id: UUID, request: Request, caller: Editor, database: Db) -> Conversation:
    """Link a conversation to a goal or a task of the host, or take a link away with `null`."""
    return await conversations.link(database, caller, conversation_id, await read(ConversationPatch, request))


@router.delete(
    "/{conversation_id}",
    operation_id="eraseConversation",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=refusals(404, 409, 422, 503),
)
async def erase_conversation(conversation_id: UUID, caller: Eraser, database: Db) -> None:
    """Erase a conversation and everything said in it, for good."""
    await conversations.erase(database, caller, conversation_id)
