"""Operations of the API as values: what to send, and how to read the answer. Nothing here does I/O.

`operations` makes them, `core` carries them out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from http import HTTPMethod, HTTPStatus
from typing import Any, Final, Generic, Protocol, Self, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx
import orjson

from verbatim_record.errors import NotModified, Problem, UnexpectedResponse, VerbatimError
from verbatim_record.models import JsonObject, MessageResponse, ProblemDocument
from verbatim_record.problems import PROBLEMS

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
PlaceT_co = TypeVar("PlaceT_co", covariant=True)

_PROBLEM_TYPE: Final = "application/problem+json"
_UNREADABLE: Final = (AttributeError, KeyError, TypeError, ValueError)  # what reading another JSON value raises


class Unset(Enum):
    """The type of `UNSET`, which leaves a field as it is where None removes it."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET


class Page(Protocol[T_co]):
    """A page of a list."""

    @property
    def data(self) -> Sequence[T_co]:
        """The items, in the order of the list."""

    @property
    def next_cursor(self) -> str | None:
        """Where the next page begins, now or later; None only while the list is empty."""

    @property
    def has_more(self) -> bool:
        """Whether there is a next page now."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request. ``read`` makes the result of a good answer.

    ``repeatable`` tells whether the service recognises a repetition, so that it does nothing a second time. ``silence``
    is the time in seconds after which an answer without a further byte is lost, if it is not the client's own.
    """

    method: HTTPMethod
    path: str
    read: Callable[[httpx.Response], T_co]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    repeatable: bool = True
    silence: float | None = None


@dataclass(frozen=True, slots=True)
class Lines(Generic[T_co]):
    """A request whose answer is JSON Lines; ``read`` makes an item of each line."""

    call: Call[None]
    read: Callable[[Any], T_co]


@dataclass(frozen=True, slots=True)
class Following(Generic[PlaceT_co]):
    """A stream of messages. ``place`` is the id of the last event before it, None for the stream's own beginning.

    ``read_place`` makes the cursor of an event's id. ``first_place`` is called instead if the stream must begin where
    the record ends at the moment of the call. ``on_redacted`` is called with each message before it in the stream from
    which words were taken out since.
    """

    path: str
    place: str | None
    read_place: Callable[[str], PlaceT_co]
    first_place: Call[Page[MessageResponse]] | None = None
    on_redacted: Callable[[MessageResponse], object] | None = None


class _Model(Protocol):
    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self: ...


class _Versioned(Protocol):
    @classmethod
    def from_json(cls, data: Mapping[str, Any], etag: str | None) -> Self: ...


ModelT = TypeVar("ModelT", bound=_Model)
VersionedT = TypeVar("VersionedT", bound=_Versioned)


def model(kind: type[ModelT]) -> Callable[[httpx.Response], ModelT]:
    """Return what reads an answer of this ``kind``."""
    return lambda response: kind.from_json(orjson.loads(response.content))


def versioned(kind: type[VersionedT]) -> Callable[[httpx.Response], VersionedT]:
    """Return what reads an answer of this ``kind`` and its ETag."""
    return lambda response: kind.from_json(orjson.loads(response.content), response.headers.get("etag"))


def nothing(_response: httpx.Response) -> None:
    """Read an answer without a body."""


def json_object(response: httpx.Response) -> JsonObject:
    """Return an answer for another program, as the JSON object that it is."""
    return dict(orjson.loads(response.content))


def text(response: httpx.Response) -> str:
    """Return the text of an answer, which the service writes in UTF-8."""
    return response.content.decode()


def path(*parts: object) -> str:
    """Return the path below `/api/v1` that consists of ``parts``, each escaped."""
    return "".join(f"/{quote(str(part), safe='')}" for part in parts)


def query(**parameters: object) -> dict[str, str]:
    """Return the parameters that are not None as the service reads them."""
    return {name: _parameter(value) for name, value in parameters.items() if value is not None}


def _parameter(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, datetime) else str(value)


def conditions(if_match: str | None = None, if_none_match: str | None = None) -> dict[str, str]:
    """Return the headers of a conditional request."""
    named = {"if-match": if_match, "if-none-match": if_none_match}
    return {name: tag for name, tag in named.items() if tag is not None}


def body(**members: object) -> bytes:
    """Return a JSON object of the members that are not None."""
    return _json({name: value for name, value in members.items() if value is not None})


def patch(**members: object) -> bytes:
    """Return a JSON object of the members that are not `UNSET`."""
    return _json({name: value for name, value in members.items() if value is not UNSET})


def _json(document: object) -> bytes:
    return orjson.dumps(document, default=_plain)


def _plain(value: object) -> object:
    """Return what orjson writes in place of ``value``; raises TypeError if JSON cannot hold it."""
    match value:
        case UUID():  # a subclass, such as that of asyncpg
            return str(value)
        case Mapping():
            return dict(value)
    raise TypeError


def item(model: Any) -> dict[str, Any]:
    """Return the fields of ``model`` that are not None, as an item of a list in a body."""
    named = ((each.name, getattr(model, each.name)) for each in fields(model))
    return {name: value for name, value in named if value is not None}


def result_of(call: Call[T], response: httpx.Response) -> T:
    """Return what ``call`` makes of a good answer; raises UnexpectedResponse if that is not the service's."""
    try:
        return call.read(response)
    except _UNREADABLE:
        # Without the cause, which may quote the answer.
        raise UnexpectedResponse(response.status_code) from None


def reading(read: Callable[[Any], T], document: bytes | str) -> T:
    """Return what ``read`` makes of a JSON document in a stream; raises UnexpectedResponse as `result_of` does."""
    try:
        return read(orjson.loads(document))
    except _UNREADABLE:
        raise UnexpectedResponse(HTTPStatus.OK) from None


def refusal(response: httpx.Response) -> VerbatimError:
    """Return the error that an answer, read to its end, is if its status is not 2xx."""
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        return NotModified("The version that if_none_match names is still current.")
    wait = _retry_after(response)
    document = _document(response)
    if document is None or document.status != response.status_code:
        return UnexpectedResponse(response.status_code, wait)
    return PROBLEMS.get(document.type, Problem)(document, wait, response.headers.get("etag"))


def _document(response: httpx.Response) -> ProblemDocument | None:
    if response.headers.get("content-type", "").partition(";")[0].strip().lower() != _PROBLEM_TYPE:
        return None
    try:
        return ProblemDocument.from_json(orjson.loads(response.content))
    except _UNREADABLE:
        return None


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds of Retry-After, None without one or for a date, which the service never sends."""
    seconds = response.headers.get("retry-after", "")
    return float(seconds) if seconds.isascii() and seconds.isdigit() else None
