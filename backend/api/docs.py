"""HTML pages with a Content-Security-Policy: a browser runs and loads only what this service itself serves."""

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Final

from fastapi.responses import HTMLResponse

_INLINE: Final = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def page_headers(script: Sequence[str] = (), style: Sequence[str] = ()) -> dict[str, str]:
    """Return the headers of a page, with a policy that allows this service's files, and the inline parts given."""
    scripts, styles = " ".join(["'self'", *script]), " ".join(["'self'", *style])
    policy = (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {"content-security-policy": policy, "referrer-policy": "no-referrer"}


def html_page(html: str) -> HTMLResponse:
    """Return ``html`` with a policy that allows this service's files, and the inline parts of ``html`` by hash."""
    inline: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE.findall(html):
        inline[kind].append(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'")
    return HTMLResponse(html, headers=page_headers(**inline))
