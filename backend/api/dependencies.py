"""What routes are given: the parts that `app` put together, and the body, checked."""

from functools import partial
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
from backend.services.session_timeout import Returns

API: Final = "/api/v1"
MONITORING: Final = frozenset({"/livez", "/readyz", "/metrics"})  # what machines ask for every few seconds
_PLAIN: Final = frozenset({"", "identity"})  # codings of a body that is sent as it is
BODY_BYTES: Final = 2 * 2**20
BATCH_BYTES: Final = 4 * 2**20

ModelT = TypeVar("ModelT", bound=BaseModel)


def appender_of(request: Request) -> Appender:
    """Return the appender of this process."""
    return cast("Appender", request.state.appender)


def returns_of(request: Request) -> Returns:
    """Return what notices that a silent session goes on."""
    return cast("Returns", request.state.returns)


async def _database(request: Request) -> Database:
    return cast("Database", request.state.database)


Db = Annotated[Database, Depends(_database)]


async def _token_client(request: Request) -> TokenClient | None:
    return cast("TokenClient | None", request.state.deepgram_tokens)


Tokens = Annotated[TokenClient | None, Depends(_token_client)]


def outbox_of(request: Request) -> Outbox | None:
    """Return the way to the orchestrator, if there is one."""
    return cast("Outbox | None", request.state.outbox)


async def json_body(request: Request, *, most: int = BODY_BYTES) -> bytes:
    """Return the body of a request that says it is JSON; raises HTTPException 415 otherwise, 413 beyond ``most`` bytes.

    A compressed body is 415, too: a small one may become a very large one. Raises Busy if the bodies of other requests
    leave no room. A browser may send other types to any address without asking first. This one it asks for.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise HTTPException(415)
    codings = ",".join(request.headers.getlist("content-encoding")).split(",")
    if any(coding.strip().lower() not in _PLAIN for coding in codings):
        raise HTTPException(415, headers={"accept-encoding": "identity"})
    body = bytearray()
    held = HeldBody(request)
    async for chunk in request.stream():
        size = len(body) + len(chunk)
        if size > most:
            raise HTTPException(413)
        if body and chunk:  # the server has read the first piece anyway, and most bodies are no longer
            await held.hold(size)
        body += chunk
    return bytes(body)


async def read(model: type[ModelT], request: Request) -> ModelT:
    """Return the body as ``model``; raises Invalid or, for another type than JSON, HTTPException."""
    return await parsed(request, partial(parse, model), await json_body(request))


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """Return what OpenAPI should say of a route that reads its body as ``model`` itself.

    Routes read their own bodies so that every fault is found by one parser and none is quoted.
    """
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}},
        }
    }
