"""`/conversations`: open, list, read, link, end and erase conversations, which messages belong to."""

from collections.abc import Mapping
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from backend.api.auth import Editor, Eraser, Reader
from backend.api.dependencies import API, Db, read, summaries_of, takes
from backend.api.etags import entity_tag, if_match, not_modified
from backend.api.openapi import CONDITIONAL, IF_MATCH, REPLAYED, TAGGED, UNCHANGED, refusals
from backend.schemas.conversation import (
    ConversationCreate,
    ConversationEnd,
    ConversationPage,
    ConversationPatch,
    ConversationQuery,
    ConversationResponse,
)
from backend.schemas.summary import Included
from backend.services import conversations
from backend.services.conversations import Precondition

router = APIRouter(prefix=f"{API}/conversations", tags=["conversations"])

_LOCATION: Final = {"Location": {"description": "The path of the conversation.", "schema": {"type": "string"}}}


@router.post(
    "",
    operation_id="createConversation",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {
            "model": ConversationResponse,
            "description": "An earlier request with the same content opened it.",
            "headers": REPLAYED,
        },
        201: {"description": "Opened.", "headers": _LOCATION},
        **refusals(409, 410, 413, 415, 422, 503),
    },
    openapi_extra=takes(ConversationCreate),
)
async def create_conversation(
    request: Request, response: Response, caller: Editor, database: Db
) -> ConversationResponse:
    """Open a conversation; a service may open one for a person (`user_id`).

    A client that chooses the `id` can retry without opening a second conversation: a request with the same id, context
    type and owner gets 200 and the conversation in its current state.
    """
    conversation, replayed = await conversations.create(database, caller, await read(ConversationCreate, request))
    if replayed:
        response.status_code = status.HTTP_200_OK
        response.headers["idempotency-replayed"] = "true"
    else:
        response.headers["location"] = f"{API}/conversations/{conversation.id}"
    return conversation


@router.get(
    "",
    operation_id="listConversations",
    response_description="A page of conversations.",
    response_model=ConversationPage,
    responses=refusals(422, 503),
)
async def list_conversations(
    request: Request, query: Annotated[ConversationQuery, Query()], caller: Reader, database: Db
) -> Response:
    """List conversations, newest first."""
    page = await conversations.newest(database, caller, query, summaries_of(request) if query.include else None)
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/{conversation_id}",
    operation_id="getConversation",
    response_description="The conversation.",
    response_model=ConversationResponse,
    responses={200: {"headers": TAGGED}, 304: UNCHANGED, **refusals(404, 412, 422, 503)},
    openapi_extra=CONDITIONAL,
)
async def get_conversation(
    request: Request,
    conversation_id: UUID,
    caller: Reader,
    database: Db,
    include: Annotated[Included | None, Query(description="What the answer contains besides.")] = None,
) -> Response:
    """Read one conversation, without its messages.

    With `include=summary` the answer has an entity tag of its own, which changes with the figures. `If-Match` of a
    change needs the tag of the answer without.
    """
    found = await conversations.get(database, caller, conversation_id, summaries_of(request) if include else None)
    response = _response(found)
    return not_modified(request, response.headers["etag"]) or response


@router.patch(
    "/{conversation_id}",
    operation_id="linkConversation",
    response_description="The conversation, with its links.",
    response_model=ConversationResponse,
    responses={200: {"headers": TAGGED}, **refusals(404, 412, 413, 415, 422, 503)},
    openapi_extra=takes(ConversationPatch) | IF_MATCH,
)
async def link_conversation(conversation_id: UUID, request: Request, caller: Editor, database: Db) -> Response:
    """Link a conversation to a goal or a task of the host; `null` removes a link."""
    patch = await read(ConversationPatch, request)
    return _response(await conversations.link(database, caller, conversation_id, patch, _precondition(request)))


@router.post(
    "/{conversation_id}/end",
    operation_id="endConversation",
    response_model=ConversationResponse,
    responses={
        200: {"description": "Ended, by this request or before at the same time.", "headers": REPLAYED | TAGGED},
        **refusals(404, 409, 412, 413, 415, 422, 503),
    },
    openapi_extra=takes(ConversationEnd) | IF_MATCH,
)
async def end_conversation(conversation_id: UUID, request: Request, caller: Editor, database: Db) -> Response:
    """End a conversation that has no voice session. Messages that arrive later are still recorded."""
    facts = await read(ConversationEnd, request)
    ended, replayed = await conversations.end(database, caller, conversation_id, facts, _precondition(request))
    return _response(ended, {"idempotency-replayed": "true"} if replayed else {})


@router.delete(
    "/{conversation_id}",
    operation_id="eraseConversation",
    response_description="Erased.",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=refusals(404, 409, 412, 422, 503),
    openapi_extra=IF_MATCH,
)
async def erase_conversation(request: Request, conversation_id: UUID, caller: Eraser, database: Db) -> None:
    """Erase a conversation with all its messages. This cannot be undone."""
    await conversations.erase(database, caller, conversation_id, _precondition(request))


def _precondition(request: Request) -> Precondition | None:
    wanted = if_match(request)
    if wanted is None:
        return None
    return lambda found: wanted.require(entity_tag(found.model_dump_json()))


def _response(found: ConversationResponse, headers: Mapping[str, str] | None = None) -> Response:
    body = found.model_dump_json()
    return Response(body, headers={"etag": entity_tag(body), **(headers or {})}, media_type="application/json")
