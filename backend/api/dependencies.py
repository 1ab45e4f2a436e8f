"""Dependencies of the routes: the worker's parts, which `app` creates, and the request's body, parsed and validated."""

from functools import lru_cache, partial
from typing import Annotated, Any, Final, TypeVar, cast

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from backend.api.bodies import HeldBody
from backend.api.parse_thread import parsed
from backend.dao_service.connection.database import Database
from backend.deepgram import TokenClient
from backend.schemas.parsing import parse
from backend.services.appender import Appender
from backend.services.outbox import Outbox
from backend.services.session_timeout import SessionReopener
from backend.services.summaries import Summaries

API: Final = "/api/v1"
MCP: Final = "/mcp"
MONITORING: Final = frozenset({"/livez", "/readyz", "/metrics"})  # load balancers and Prometheus poll these
_PLAIN: Final = frozenset({b"", b"identity"})  # the values of Content-Encoding for a body that is not compressed
BODY_BYTES: Final = 2 * 2**20  # of a body, inclusive
BATCH_BYTES: Final = 4 * 2**20  # of a batch, inclusive

ModelT = TypeVar("ModelT", bound=BaseModel)


def appender_of(request: Request) -> Appender:
    """Return the appender of this worker."""
    return cast("Appender", request.scope["state"]["appender"])


def session_reopener_of(request: Request) -> SessionReopener:
    """Return the part of this worker that reopens a timed-out voice session when its phone sends again."""
    return cast("SessionReopener", request.scope["state"]["session_reopener"])


def summaries_of(request: Request) -> Summaries:
    """Return the summaries of conversations that this worker remembers."""
    return cast("Summaries", request.scope["state"]["summaries"])


def database_of(request: Request) -> Database:
    """Return the database of this worker."""
    return cast("Database", request.scope["state"]["database"])


async def _database(request: Request) -> Database:  # FastAPI runs a function that is not async in a thread
    return database_of(request)


Db = Annotated[Database, Depends(_database)]


async def _token_client(request: Request) -> TokenClient | None:
    return cast("TokenClient | None", request.state.deepgram_tokens)


Tokens = Annotated[TokenClient | None, Depends(_token_client)]


def outbox_of(request: Request) -> Outbox | None:
    """Return the outbox for deliveries to the orchestrator, or None if none is configured."""
    return cast("Outbox | None", request.state.outbox)


async def json_body(request: Request, *, most: int = BODY_BYTES) -> bytes:
    """Return the body of a request with a JSON Content-Type.

    Raises HTTPException 415 for another type, because a page of another origin may make a browser send such a body
    without a preflight request (CORS); 415 for a compressed body, because a small one may expand to a very large one;
    413 beyond ``most`` bytes; and Busy if the bodies of other requests leave no room in memory.
    """
    headers = request.scope["headers"]
    if not _is_json(next((value for name, value in headers if name == b"content-type"), b"")):
        raise HTTPException(415)
    if not all(_is_plain(value) for name, value in headers if name == b"content-encoding"):
        raise HTTPException(415, headers={"accept-encoding": "identity"})
    body, held = bytearray(), None
    async for chunk in request.stream():
        size = len(body) + len(chunk)
        if size > most:
            raise HTTPException(413)
        if body and chunk:  # not the first chunk, which the server has in memory anyway; most bodies are no longer
            held = held or HeldBody(request)
            await held.hold(size)
        body += chunk
    return bytes(body)


@lru_cache(16)
def _is_json(media_type: bytes) -> bool:
    media_type = media_type.partition(b";")[0].strip().lower()
    return media_type == b"application/json" or (
        media_type.startswith(b"application/") and media_type.endswith(b"+json")
    )


def _is_plain(codings: bytes) -> bool:
    return all(coding.strip().lower() in _PLAIN for coding in codings.split(b","))


async def read(model: type[ModelT], request: Request) -> ModelT:
    """Return the body as ``model``; raises Invalid, and what `json_body` and `parsed` raise."""
    return await parsed(request, partial(parse, model), await json_body(request))


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI fields of a route that reads its body as ``model`` itself (`read`).

    Routes read their bodies themselves, so that one parser finds all faults and its messages quote no content.
    """
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}},
        }
    }
