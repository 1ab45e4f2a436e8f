"""HTML pages with a Content-Security-Policy: a browser runs and loads only what this service itself serves."""

import base64
import hashlib
import re
from typing import Final

from fastapi.responses import HTMLResponse

_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def html_page(html: str) -> HTMLResponse:
    """Return ``html`` with a policy that allows this service's files, and the inline parts of ``html`` by hash."""
    allowed: dict[str, list[str]] = {"script": ["'self'"], "style": ["'self'"]}
    for kind, text in _INLINE.findall(html):
        allowed[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
    policy = (
        f"default-src 'none'; script-src {' '.join(allowed['script'])}; style-src {' '.join(allowed['style'])}; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(html, headers={"content-security-policy": policy, "referrer-policy": "no-referrer"})
