"""Conditional requests (RFC 9110, section 13): nothing is sent that the client has, and nothing changed unseen.

Weak and strong tags are compared alike, because proxies that compress make a strong tag weak.
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


@dataclass(frozen=True, slots=True)
class IfMatch:
    """The versions that a request may act on: ``tags`` are entity tags with their quotes, or an asterisk for any."""

    tags: frozenset[str]

    def require(self, *tags: str) -> None:
        """Raise PreconditionFailed unless one of ``tags`` is named, which are those of the version that stands.

        Without ``tags`` the resource has no version yet.
        """
        if not any(_is_named(tag, self.tags) for tag in tags):
            raise PreconditionFailed(tags[0] if tags else None)


def entity_tag(*parts: object) -> str:
    """Return a strong entity tag for what ``parts`` determine to the byte."""
    packed = orjson.dumps(parts, option=orjson.OPT_NON_STR_KEYS, default=str)
    return f'"{hashlib.sha256(packed).hexdigest()[:32]}"'


def if_match(request: Request) -> IfMatch | None:
    """Return what `If-Match` names, or None without that header. A header that names no tag matches nothing."""
    tags = _named(request, "if-match")
    return None if tags is None else IfMatch(tags)


def is_conditional(request: Request) -> bool:
    """Tell whether a request to read something names versions of it, which `known` looks at."""
    return not {"if-match", "if-none-match"}.isdisjoint(request.headers)


def known(request: Request, *tags: str) -> Response | None:
    """Return the answer for a client that has it already: its `If-None-Match` names one of ``tags``.

    Raises PreconditionFailed if there is an `If-Match` and it names none of them.
    """
    if wanted := if_match(request):
        wanted.require(*tags)
    has = _named(request, "if-none-match")
    known_by = next((tag for tag in tags if has is not None and _is_named(tag, has)), None)
    if known_by is None:
        return None
    return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"etag": known_by})


def _named(request: Request, header: str) -> frozenset[str] | None:
    values = request.headers.getlist(header)
    if not values:
        return None
    value = ", ".join(values).strip()
    return frozenset({_ANY} if value == _ANY else _TAGS.findall(value))


def _is_named(tag: str, tags: frozenset[str]) -> bool:
    return tag.removeprefix("W/") in tags or _ANY in tags
