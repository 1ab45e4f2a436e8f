"""The OpenAPI document: FastAPI's, with the bodies, headers and problems that the routes handle themselves.

It is of version 3.1, because generators refuse 3.2 and its `itemSchema`. A test compares it with `openapi.json`, from
which clients are generated.
"""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from backend.api import problem_schemas, webhooks
from backend.api.problem_examples import add_problems
from backend.api.problems import ALL
from backend.formats.deepgram import DeepgramSettingsPatch
from backend.formats.openai import OpenAIChat
from backend.formats.transcript import Transcript
from backend.schemas.audit import AuditPage
from backend.schemas.conversation import ConversationCreate, ConversationEnd, ConversationPatch
from backend.schemas.delivery import (
    ConversationEndedEvent,
    ConversationErasedEvent,
    IntentExtracted,
    MessageRedactedEvent,
)
from backend.schemas.hold import HoldPage, HoldPut
from backend.schemas.intent import IntentPut
from backend.schemas.message import BatchResults, MessageBatch, MessageCreate
from backend.schemas.redaction import RedactionCreate
from backend.schemas.retention import RetentionPlan
from backend.schemas.search import SearchPage
from backend.schemas.service import ServiceResponse
from backend.schemas.stream import ConversationStreamEvent, FeedStreamEvent
from backend.schemas.subject import ErasureCreate, ExportedConversation
from backend.schemas.voice_session import VoiceEventBatch, VoiceEventResults, VoiceSessionCreate, VoiceSessionEnd

REPLAYED: Final = {"Idempotency-Replayed": {"description": "`true`", "schema": {"type": "string"}}}

TAGGED: Final = {"ETag": {"description": "An entity tag.", "schema": {"type": "string"}}}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


_IF_MATCH: Final = _header(
    "If-Match", "ETags of the versions that the request may act on, or `*` for any; others get 412."
)
_IF_NONE_MATCH: Final = _header("If-None-Match", "ETags of the versions that the client has; the current one gets 304.")
IF_MATCH: Final[dict[str, Any]] = {"parameters": [_IF_MATCH]}
CONDITIONAL: Final[dict[str, Any]] = {"parameters": [_IF_MATCH, _IF_NONE_MATCH]}
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
    HoldPut,
    RedactionCreate,
    IntentPut,
    VoiceSessionCreate,
    VoiceEventBatch,
    VoiceSessionEnd,
)
_STREAMS: Final = (ConversationStreamEvent, FeedStreamEvent)
_ANSWERS: Final[tuple[type[BaseModel], ...]] = (
    Transcript,
    DeepgramSettingsPatch,
    OpenAIChat,
    ExportedConversation,
    BatchResults,
    SearchPage,
    VoiceEventResults,
    IntentExtracted,
    ConversationEndedEvent,
    ConversationErasedEvent,
    MessageRedactedEvent,
    ServiceResponse,
    HoldPage,
    AuditPage,
    RetentionPlan,
)
_SERVERS: Final = [
    {"url": "/", "description": "The service that this document comes from."},
    {"url": "http://127.0.0.1:8000", "description": "A service on this machine, by `make run`."},
]
_SCALARS: Final = [{"type": kind} for kind in ("string", "number", "boolean", "null")]
_OBJECT: Final = {"$ref": "#/components/schemas/JsonObject"}
_REFUSALS: Final = {
    401: "No token was sent, or it is not accepted; `WWW-Authenticate` says why.",
    403: "The token lacks the scope in `WWW-Authenticate`, or a page of another origin sent the request.",
    404: "No such conversation, voice session or delivery, or it has another owner; or search is switched off.",
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


def lines(media_type: str, item: str) -> dict[str, Any]:
    """Return the OpenAPI content of a stream of items, each of which has the schema ``item``."""
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{item}"}}
    return {media_type: {"schema": {"type": "string", "contentMediaType": media_type, "contentSchema": items}}}


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
        servers=_SERVERS,
        webhooks=webhooks.router.routes,
    )
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = []
    models += [(model, "validation") for model in (*_BODIES, *_STREAMS)]
    models += [(model, "serialization") for model in (*_ANSWERS, *problem_schemas.models())]
    _, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    # Instead of FastAPI's, whose examples lack each field that is null.
    schemas |= definitions["$defs"] | _json() | {"Problem": problem_schemas.union(ALL)}
    # FastAPI declares these for parameters that may be wrong; this service responds with problem documents instead.
    for leftover in ("HTTPValidationError", "ValidationError"):
        schemas.pop(leftover, None)
    add_problems(document)
    for operation in (each for methods in document["paths"].values() for each in methods.values()):
        for parameter in operation.get("parameters", ()):
            _drop_null(parameter["schema"])
    _drop_null_defaults(document)
    app.openapi_schema = document
    return document


def _json() -> dict[str, Any]:
    """Return the schemas of any JSON, for which Pydantic has the empty schema."""
    # Generators refuse arrays that contain themselves. So the arrays in an array are described to a depth of two.
    value: dict[str, Any] = {"not": {"type": ["object", *(scalar["type"] for scalar in _SCALARS)]}}
    for _ in range(2):
        value = {"type": "array", "items": {"anyOf": [*_SCALARS, _OBJECT, value]}}
    return {
        "JsonValue": {"title": "JsonValue", "description": "Any JSON.", "anyOf": [*_SCALARS, _OBJECT, value]},
        "JsonObject": {
            "title": "JsonObject",
            "description": "Any JSON object.",
            "type": "object",
            "additionalProperties": {"$ref": "#/components/schemas/JsonValue"},
        },
    }


def _drop_null(schema: dict[str, Any]) -> None:
    """Let a parameter be absent, but not null, for which no URL or header has a form."""
    for kind in schema.pop("anyOf", ()):
        if kind != {"type": "null"}:
            schema |= kind


def _drop_null_defaults(part: object) -> None:
    """Remove `default: null`, which generators take for a field that is required, or that is sent as null."""
    if isinstance(part, dict):
        if "default" in part and part["default"] is None:
            del part["default"]
        part = [*part.values()]
    for each in part if isinstance(part, list) else ():
        _drop_null_defaults(each)
