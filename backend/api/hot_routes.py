"""The hot routes: those that run for each word that is said, and the reads that clients repeat.

FastAPI describes these routes like all others, and serves them, too. But it has four layers of its own, tries the
pattern of each route, opens two exit stacks, and resolves the handler's parameters from its signature, which takes
longer than the handlers themselves (docs/architecture.md has the figures). So this layer, outside of FastAPI's and
inside of `RequestMiddleware`, calls the handlers of ordinary requests itself, with what their signatures name.

What that gives up: such a handler returns a Response, needs no dependency with `yield`, and has its parameters written
down a second time, in `_CALLS`; mypy compares the two. All else stays with FastAPI, because a request that is not
ordinary takes the usual way: one with another method or with a parameter that is not valid, and every one while
OpenTelemetry is configured, so that FastAPI traces it.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Final
from uuid import UUID

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.api.auth import caller_of
from backend.api.conversations import get_conversation
from backend.api.dependencies import database_of
from backend.api.health import livez
from backend.api.problems import http_refusal, refusal
from backend.api.transcripts import list_messages
from backend.api.voice_messages import record_message, record_messages
from backend.api.voice_sessions import record_voice_events
from backend.errors import RecordError
from backend.schemas.fields import Label
from backend.schemas.message import MessageQuery
from backend.vocabulary import Scope as Needed

_LABEL: Final = TypeAdapter[str](Label)
_UUID: Final = TypeAdapter(UUID)


def _record_voice_events(request: Request, session: str) -> Awaitable[Response]:
    caller = caller_of(request, Needed.MESSAGES_WRITE)
    return record_voice_events(_LABEL.validate_python(session), request, caller, database_of(request))


def _list_messages(request: Request, conversation: str) -> Awaitable[Response]:
    query = _message_query(request.scope["query_string"])
    return list_messages(request, _UUID.validate_python(conversation), query, database_of(request))


@lru_cache(256)  # clients that poll repeat theirs
def _message_query(query_string: bytes) -> MessageQuery:
    return MessageQuery.model_validate(dict(QueryParams(query_string)))


def _get_conversation(request: Request, conversation: str) -> Awaitable[Response] | None:
    if request.scope["query_string"]:
        return None
    caller = caller_of(request, Needed.CONVERSATIONS_READ)
    return get_conversation(request, _UUID.validate_python(conversation), caller, database_of(request))


# Calls the handler for a request with a parameter in its path, which is empty if the route has none. Returns None, or
# raises ValidationError, if the request is not ordinary.
_Call = Callable[[Request, str], Awaitable[Response] | None]

_CALLS: Final[dict[Callable[..., Awaitable[Response]], _Call]] = {
    record_message: lambda request, _: record_message(request),
    record_messages: lambda request, _: record_messages(request),
    record_voice_events: _record_voice_events,
    list_messages: _list_messages,
    get_conversation: _get_conversation,
    livez: lambda _request, _: livez(),
}
# The key of the state that tells whether OpenTelemetry is configured: FastAPI's own layers then write a span for each
# request.
TRACED: Final = "traced"


class _HotRoute:
    """A hot route: ``method`` and the texts of its path ``before`` and ``after`` its parameter."""

    def __init__(self, route: APIRoute) -> None:
        self.route = route
        self.call = _CALLS[route.endpoint]
        [self.method] = {*(route.methods or ())} - {"HEAD"}
        self.before, _, rest = route.path.partition("{")
        self.after = rest.partition("}")[2]


class HotRoutes:
    """The layer that answers the ordinary requests to the hot routes among ``routes``.

    It passes all other requests on to ``app``.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[APIRoute]) -> None:
        self._app = app
        hot = [_HotRoute(route) for route in routes if route.endpoint in _CALLS]
        self._fixed = {(each.method, each.before): each for each in hot if each.before == each.route.path}
        self._others = [each for each in hot if each.before != each.route.path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        response = None
        if scope["type"] == "http" and not scope["state"].get(TRACED):
            try:
                response = await self._response(scope, receive)
            except RecordError as error:
                response = refusal(error)
            except HTTPException as error:
                response = http_refusal(error)
        await (response or self._app)(scope, receive, send)

    async def _response(self, scope: Scope, receive: Receive) -> Response | None:
        hot, parameter = self._find(scope["method"], scope["path"])
        if hot is None:
            return None
        try:
            responding = hot.call(Request(scope, receive), parameter)
        except ValidationError:
            return None
        if responding is None:
            return None
        scope["route"] = hot.route
        return await responding

    def _find(self, method: str, path: str) -> tuple[_HotRoute | None, str]:
        """Return the hot route of a request with its parameter, without a regular expression."""
        if found := self._fixed.get((method, path)):
            return found, ""
        for hot in self._others:
            if method == hot.method and path.startswith(hot.before) and path.endswith(hot.after):
                parameter = path[len(hot.before) : len(path) - len(hot.after)]
                if parameter and "/" not in parameter:
                    return hot, parameter
        return None, ""
