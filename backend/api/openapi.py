"""The description of the API: complete, and the same as what is served."""

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
            "description": "The version, or the versions, that may be changed, as ETags; or `*` for any. Else: 412.",
            "schema": {"type": "string"},
        }
    ]
}
UNCHANGED: Final[dict[str, Any]] = {"description": "The same as `If-None-Match` names.", "headers": TAGGED}

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
    401: "No token, or one that is not good; `WWW-Authenticate` says why.",
    403: "The token is not for this, and `WWW-Authenticate` names the scope; or a page of another origin sent it.",
    404: "No such conversation, voice session or delivery, or somebody else's.",
    409: "The id is taken by something else, another intent stands, or the host has a rule against it.",
    410: "The conversation was erased.",
    412: "`If-Match` does not name the version that stands; nothing was changed.",
    413: "The body is too large, or holds too many values.",
    415: "The body is not declared as JSON, or is compressed.",
    422: "The request is not of the documented form; `errors` says where.",
    429: "Too many requests: send the same again after `Retry-After` seconds.",
    502: "Deepgram refuses a token to the service.",
    503: "Busy, or the database is away: send the same again after `Retry-After` seconds.",
}
_OTHERS: Final = "A fault of the service, or a request that reaches no route."
_RETRY_AFTER: Final = {"headers": {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}}
_CHALLENGE: Final = {"headers": {"WWW-Authenticate": {"description": "RFC 6750.", "schema": {"type": "string"}}}}
_HEADERS: Final = {401: _CHALLENGE, 403: _CHALLENGE, 429: _RETRY_AFTER, 503: _RETRY_AFTER}
_FROM_EVERY_ROUTE: Final = (401, 403, 429)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the declarations of the problems that a route may answer with; some come from every route."""
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
    # Declared by FastAPI wherever a parameter may be wrong; ours are problems.
    for leftover in ("HTTPValidationError", "ValidationError"):
        schemas.pop(leftover, None)
    add_examples(document)
    app.openapi_schema = document
    return document
