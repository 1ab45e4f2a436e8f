"""What the server refuses itself: complete HTTP/1.1 answers, problem documents (RFC 9457) like the application's."""

import os
from enum import StrEnum
from typing import Final, NamedTuple

import orjson

from backend.api.problems import HTTP_PROBLEMS, MEDIA_TYPE, PROBLEMS, Problem, problem_body
from backend.errors import Busy
from backend.observability.logs import request_id


class Reason(StrEnum):
    """Why a connection or a request was given up; the label of a metric."""

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
    """Why, and what the client is told."""

    reason: Reason
    problem: Problem
    detail: str
    retry_after: int | None = None  # seconds


_BUSY: Final = PROBLEMS[Busy]

NOT_HTTP: Final = Refusal(Reason.BAD_REQUEST, HTTP_PROBLEMS[400], "The request is not readable as HTTP/1.1.")
HEAD_TOO_LARGE: Final = Refusal(Reason.HEAD, HTTP_PROBLEMS[431], HTTP_PROBLEMS[431].remedy)
HEADS_FULL: Final = Refusal(Reason.HEADS, _BUSY, "Too many requests with large heads are under way; send it again.", 1)
HEAD_TOO_SLOW: Final = Refusal(Reason.SLOW_HEAD, HTTP_PROBLEMS[408], "The head of the request took too long.")
BODY_TOO_SLOW: Final = Refusal(Reason.SLOW_BODY, HTTP_PROBLEMS[408], "The body of the request came too slowly.")
NO_CONNECTION_FREE: Final = Refusal(Reason.CONNECTIONS, _BUSY, "Too many connections are in use; connect again.", 1)
OVERLOADED: Final = Refusal(Reason.OVERLOADED, _BUSY, "Too many requests are being served; send the same again.", 2)


def http_answer(refusal: Refusal, default_headers: list[tuple[bytes, bytes]], *, last: bool = True) -> bytes:
    """Return the bytes of the whole answer; after the ``last`` one of a connection it is closed."""
    identity = os.urandom(16).hex()
    token = request_id.set(identity)
    try:
        body = orjson.dumps(problem_body(refusal.problem, refusal.detail))
    finally:
        request_id.reset(token)
    status = refusal.problem.status
    headers = [
        *default_headers,
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", identity.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close" if last else b"keep-alive"),
    ]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_after))
    lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode(), *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([*lines, b"", body])
