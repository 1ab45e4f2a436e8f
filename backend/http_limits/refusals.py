"""The refusals of the HTTP server itself: complete HTTP/1.1 responses with problem documents (RFC 9457)."""

from enum import StrEnum
from functools import cache
from typing import Final, NamedTuple

import orjson

from backend.api.problems import HTTP_PROBLEMS, PROBLEMS, ProblemType, count, document_of
from backend.errors import Busy
from backend.observability.logs import new_request_id
from verbatim_record.vocabulary import PROBLEM_MEDIA_TYPE


class Reason(StrEnum):
    """Why the server refused a request or closed a connection: the label `reason` of `verbatim_http_shed_total`."""

    BAD_REQUEST = "bad_request"
    HEAD = "head"
    HEADS = "heads"
    SLOW_HEAD = "slow_head"
    SLOW_BODY = "slow_body"
    UNREAD_BODY = "unread_body"
    SLOW_READER = "slow_reader"
    UNSENT = "unsent"
    CONNECTIONS = "connections"
    EVICTED = "evicted"
    OVERLOADED = "overloaded"


class Refusal(NamedTuple):
    """A response of the server itself: its reason, for the metric, and its problem, for the client."""

    reason: Reason
    problem: ProblemType
    detail: str
    retry_after: int | None = None  # seconds


_NO_IDENTITY: Final = b"0" * 32
_NO_UUID: Final = b"00000000-0000-0000-0000-000000000000"
_BUSY: Final = PROBLEMS[Busy]

NOT_HTTP: Final = Refusal(Reason.BAD_REQUEST, HTTP_PROBLEMS[400], "The request cannot be read as HTTP/1.1.")
HEAD_TOO_LARGE: Final = Refusal(Reason.HEAD, HTTP_PROBLEMS[431], HTTP_PROBLEMS[431].remedy)
HEADS_FULL: Final = Refusal(Reason.HEADS, _BUSY, "Too many requests with large heads are under way; send it again.", 1)
HEAD_TOO_SLOW: Final = Refusal(Reason.SLOW_HEAD, HTTP_PROBLEMS[408], "The head of the request took too long.")
BODY_TOO_SLOW: Final = Refusal(Reason.SLOW_BODY, HTTP_PROBLEMS[408], "The body of the request arrived too slowly.")
NO_CONNECTION_FREE: Final = Refusal(Reason.CONNECTIONS, _BUSY, "Too many connections are in use; connect again.", 1)
OVERLOADED: Final = Refusal(Reason.OVERLOADED, _BUSY, "Too many requests are being served; send the same again.", 2)


def http_response(refusal: Refusal, default_headers: list[tuple[bytes, bytes]], *, last: bool = True) -> bytes:
    """Return the bytes of the whole response; ``last`` tells the client that the connection is closed after it."""
    count(refusal.problem)
    status, rest = _parts(refusal, last=last)
    identity = new_request_id().encode()
    parts = [identity[:8], identity[8:12], identity[12:16], identity[16:20], identity[20:]]
    rest = rest.replace(_NO_UUID, b"-".join(parts)).replace(_NO_IDENTITY, identity)
    return b"\r\n".join([status, *(name + b": " + value for name, value in default_headers), rest])


@cache
def _parts(refusal: Refusal, *, last: bool) -> tuple[bytes, bytes]:
    """Return the status line of a response, and its headers after Uvicorn's with the body, for a request id of zeros.

    An overloaded service sends thousands of them a second; serializing each took half of the time of a refusal.
    """
    body = orjson.dumps(document_of(refusal.problem, refusal.detail, _NO_IDENTITY.decode()))
    status = refusal.problem.status
    headers = [
        b"content-type: " + PROBLEM_MEDIA_TYPE.encode(),
        b"content-length: %d" % len(body),
        b"x-request-id: " + _NO_IDENTITY,
        b"x-content-type-options: nosniff",
        b"connection: close" if last else b"connection: keep-alive",
    ]
    if refusal.retry_after is not None:
        headers.append(b"retry-after: %d" % refusal.retry_after)
    return f"HTTP/1.1 {status.value} {status.phrase}".encode(), b"\r\n".join([*headers, b"", body])
