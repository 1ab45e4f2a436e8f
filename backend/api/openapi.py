"""What routes say of their responses for the OpenAPI document, which `openapi_document` makes."""

from typing import Any, Final

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

_POSITION: Final = "Verbatim-Position"
# If the service has a replica of the database (docs/scale.md).
WRITTEN: Final = {
    _POSITION: {
        "description": "With a replica: where this write is. Send it with a read that must see the write. Of two, the "
        "one that is greater as text covers both.",
        "schema": {"type": "string"},
    }
}
FRESHNESS: Final = (
    _header(_POSITION, "From the answer to a write: a replica may answer if it has that write and all before it."),
    _header("Prefer", "`consistency=eventual`: a replica may answer, however far it is behind."),
)

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
