"""`/export` and `/erasures`: export or erase everything that is on record of one person (a data subject)."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from backend.api.auth import Eraser, Reader
from backend.api.dependencies import API, Db, read, takes
from backend.api.openapi import lines, refusals
from backend.api.sse import StreamedResponse
from backend.schemas.conversation import ConversationQuery
from backend.schemas.page import LARGEST_PAGE
from backend.schemas.subject import ErasedPage, ErasedQuery, ErasureCreate, ErasureResponse, SubjectQuery
from backend.services import subjects
from backend.vocabulary import Scope

router = APIRouter(prefix=API, tags=["subjects"])


@router.get(
    "/export",
    operation_id="exportSubject",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "JSON Lines, a line for each conversation, newest first: `conversation`, `messages`, "
            "`voice_sessions` (each with its `incidents` and `receipt`), `deliveries`.",
            "content": lines("application/jsonl", "ExportedConversation"),
        },
        **refusals(422, 503),
    },
)
async def export_subject(query: Annotated[SubjectQuery, Query()], caller: Reader, database: Db) -> StreamedResponse:
    """Read everything that is on record of the caller; a service names the person by `user_id`, which is audited."""
    subject = subjects.acting_for(caller, query.user_id, Scope.CONVERSATIONS_READ, "/query/user_id")
    await subjects.note_export(database, caller, subject.subject)
    lines = await subjects.export(database, subject, ConversationQuery(limit=LARGEST_PAGE))
    return StreamedResponse(lines, media_type="application/jsonl")


@router.get(
    "/erasures",
    operation_id="listErasures",
    response_description="A page of what is left of erased conversations.",
    responses=refusals(422, 503),
)
async def list_erasures(query: Annotated[ErasedQuery, Query()], caller: Reader, database: Db) -> ErasedPage:
    """List the conversations of a person that were erased: id, time and number of messages, by their ids.

    An export has them no more. A service names the person by `user_id`; each page of another's is audited.
    """
    subject = subjects.acting_for(caller, query.user_id, Scope.CONVERSATIONS_READ, "/query/user_id")
    await subjects.note_export(database, caller, subject.subject)
    return await subjects.erased(database, subject, query)


@router.post(
    "/erasures",
    operation_id="eraseSubject",
    response_description="What was erased, and what is left.",
    responses=refusals(413, 415, 422, 503),
    openapi_extra=takes(ErasureCreate),
)
async def erase_subject(request: Request, caller: Eraser, database: Db) -> ErasureResponse:
    """Erase every conversation of a person with all its messages. This cannot be undone.

    The response comes within 30 seconds. Send the same request again until `left` counts only what is `kept`.
    """
    wanted = await read(ErasureCreate, request)
    subject = subjects.acting_for(caller, wanted.user_id, Scope.CONVERSATIONS_ERASE, "/user_id")
    return await subjects.erase(database, subject)
