"""The OpenAPI document: FastAPI's, with the bodies, headers and problems that the routes handle themselves.

It is of version 3.1, because generators refuse 3.2 and its `itemSchema`. `make openapi` writes it into `openapi.json`,
from which clients are generated, and which the service serves: to make it takes 0.5 s and 10 MB. A test compares them.
"""

import copy
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from backend.api import problem_schemas, webhooks
from backend.api.openapi import FRESHNESS, WRITTEN
from backend.api.problem_examples import add_problems
from backend.api.problems import ALL
from backend.api.replica_reads import STREAMS
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


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of ``app``, with the models of the bodies that routes read themselves."""
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
    _add_replica_headers(document["paths"])
    for operation in (each for methods in document["paths"].values() for each in methods.values()):
        for parameter in operation.get("parameters", ()):
            _drop_null(parameter["schema"])
    _drop_null_defaults(document)
    return document


def _add_replica_headers(paths: dict[str, Any]) -> None:
    for path, methods in paths.items():
        for method, operation in methods.items():
            if method == "get" and not path.endswith(STREAMS):
                operation.setdefault("parameters", []).extend(copy.deepcopy(FRESHNESS))
            elif method != "get":
                for status, answer in operation["responses"].items():
                    if status.startswith("2"):
                        answer["headers"] = answer.get("headers", {}) | WRITTEN


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
