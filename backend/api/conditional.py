"""Conditional requests (RFC 9110, section 13): who has it already is spared to be sent it again."""

import hashlib
import re
from typing import Final

import orjson
from fastapi import Request, Response, status

_TAGS: Final = re.compile(r'(?:W/)?("[^"]*")')


def entity_tag(*parts: object) -> str:
    """Return a strong entity tag for what ``parts`` determine to the byte."""
    packed = orjson.dumps(parts, option=orjson.OPT_NON_STR_KEYS, default=str)
    return f'"{hashlib.sha256(packed).hexdigest()[:32]}"'


def known(request: Request, tag: str) -> Response | None:
    """Return the answer for who has it already: its `If-None-Match` names ``tag``."""
    wanted = request.headers.get("if-none-match")
    if wanted is None or (wanted.strip() != "*" and tag not in _TAGS.findall(wanted)):
        return None
    return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"etag": tag})
