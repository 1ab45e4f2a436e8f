"""Conditional requests (RFC 9110, section 13).

`If-None-Match` saves sending what the client has already (304). `If-Match` prevents lost updates: a change is refused
(412) if the resource has another version than the client has seen. Weak and strong tags compare as equal, because a
proxy that compresses a response makes its strong tag weak.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

import orjson
from fastapi import Request, Response, status

from backend.errors import PreconditionFailed

_TAGS: Final = re.compile(r'(?:W/)?("[^"]*")')
_ANY: Final = "*"
_CONDITIONS: Final = {b"if-match", b"if-none-match"}


@dataclass(frozen=True, slots=True)
class IfMatch:
    """The versions that a request may act on: ``tags`` are entity tags with their quotes, or `*` for any version."""

    tags: frozenset[str]

    def require(self, *tags: str) -> None:
        """Raise PreconditionFailed unless the header names one of ``tags``, the entity tags of the current version.

        Pass no tag for a resource that has no version yet.
        """
        if not any(_is_named(tag, self.tags) for tag in tags):
            raise PreconditionFailed(tags[0] if tags else None)


def entity_tag(*parts: object) -> str:
    """Return a strong entity tag, with its quotes, of a response whose bytes depend on ``parts`` alone."""
    packed = orjson.dumps(parts, option=orjson.OPT_NON_STR_KEYS, default=str)
    return f'"{hashlib.sha256(packed).hexdigest()[:32]}"'


def if_match(request: Request) -> IfMatch | None:
    """Return the tags that `If-Match` names, or None without that header. A header without a tag matches nothing."""
    tags = _named(request, "if-match")
    return None if tags is None else IfMatch(tags)


def is_conditional(request: Request) -> bool:
    """Tell whether a request has one of the headers that `not_modified` compares."""
    return not _CONDITIONS.isdisjoint(name for name, _ in request.scope["headers"])


def not_modified(request: Request, *tags: str) -> Response | None:
    """Return 304 if `If-None-Match` names one of ``tags``, the entity tags of the current version; else None.

    Raises PreconditionFailed if there is an `If-Match` that names none of them.
    """
    if not is_conditional(request):
        return None
    if wanted := if_match(request):
        wanted.require(*tags)
    has = _named(request, "if-none-match")
    matching = next((tag for tag in tags if has is not None and _is_named(tag, has)), None)
    if matching is None:
        return None
    return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"etag": matching})


def _named(request: Request, header: str) -> frozenset[str] | None:
    values = request.headers.getlist(header)
    if not values:
        return None
    value = ", ".join(values).strip()
    return frozenset({_ANY} if value == _ANY else _TAGS.findall(value))


def _is_named(tag: str, tags: frozenset[str]) -> bool:
    return tag.removeprefix("W/") in tags or _ANY in tags
