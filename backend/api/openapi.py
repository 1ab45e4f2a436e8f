"""The OpenAPI document: FastAPI's, with the bodies, headers and problems that the routes handle themselves.

A test compares it with `openapi.json`, from which clients are generated.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from backend.api.problem_examples import add_examples
from backend.formats.deepgram import DeepgramSettings
from backend.formats.openai import OpenAIChat
from backend.formats.transcript import Transcript
from backend.schemas.conversation import ConversationCreate, ConversationEnd, ConversationPatch
from backend.schemas.intent import IntentPut
from backend.schemas.message import MessageBatch, MessageCreate
from backend.schemas.problem import Problem
from backend.schemas.subject import ErasureCreate
from backend.schemas.voice_session import VoiceEventBatch, VoiceSessionCreate, VoiceSessionEnd

REPLAYED: Final = {"Idempotency-Replayed": {"description": "`true`", "schema": {"type": "string"}}}

TAGGED: Final = {"ETag": {"description": "An entity tag.", "schema": {"type": "string"}}}
IF_MATCH: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "ETags of the versions that the request may act on, or `*` for any; others get 412.",
            "schema": {"type": "string"},
        }
    ]
}
UNCHANGED: Final[dict[str, Any]] = {
    "description": "`If-None-Match` names the current version, so the client has it already.",
    "headers": TAGGED,
}

_BODIES: Final = (
    MessageCreate,
    MessageBatch,
    ConversationCreate,
    ConversationPatch,
    ConversationEnd,
    ErasureCreate,
    IntentPut,
    VoiceSessionCreate,
    VoiceEventBatch,
    VoiceSessionEnd,
)
_ANSWERS: Final = (Problem, Transcript, DeepgramSettings, OpenAIChat)
_REFUSALS: Final = {
    401: "No token was sent, or it is not accepted; `WWW-Authenticate` says why.",
    403: "The token lacks the scope in `WWW-Authenticate`, or a page of another origin sent the request.",
    404: "No such conversation, voice session or delivery, or it has another owner.",
    409: "The id is taken, the conversation has another intent, or a rule of the host's database forbids it.",
    410: "The conversation was erased.",
    412: "`If-Match` does not name the current version; nothing was changed.",
    413: "The body is too large, or has too many JSON values.",
    415: "The body is not declared as JSON, or is compressed.",
    422: "The request does not have the documented form; `errors` lists the faults.",
    429: "Too many requests: send the same request again after `Retry-After` seconds.",
    502: "Deepgram refuses a token to the service.",
    503: "The service is busy, or the database is not available: send the same request again after `Retry-After` "
    "seconds.",
}
_OTHERS: Final = "An error of the service, or a request that is refused before it reaches the route."
_RETRY_AFTER: Final = {"headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}}
_CHALLENGE: Final = {"headers": {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}}}}
_HEADERS: Final = {401: _CHALLENGE, 403: _CHALLENGE, 429: _RETRY_AFTER, 503: _RETRY_AFTER}
_FROM_EVERY_ROUTE: Final = (401, 403, 429)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses for the problems with ``statuses``, and for those that every route has."""
    declared: dict[int | str, dict[str, Any]] = {
        status: {"description": _REFUSALS[status], "content": _problem(), **_HEADERS.get(status, {})}
        for status in sorted({*statuses, *_FROM_EVERY_ROUTE})
    }
    return declared | {"default": {"description": _OTHERS, "content": _problem()}}


def _problem() -> dict[str, Any]:
    return {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of ``app``, with the models of the bodies that routes read themselves."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    _, definitions = models_json_schema(
        [*((model, "validation") for model in _BODIES), *((model, "serialization") for model in _ANSWERS)],
        ref_template="#/components/schemas/{model}",
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    # FastAPI declares these for parameters that may be wrong; this service responds with problem documents instead.
    for leftover in ("HTTPValidationError", "ValidationError"):
        schemas.pop(leftover, None)
    add_examples(document)
    app.openapi_schema = document
    return document
