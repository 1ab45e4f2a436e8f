"""Making what a framework hands over fit, so that what hangs on a message never costs the message itself."""

from typing import Any, Final

import orjson

CONTENT_BYTES: Final = 65_536
DETAIL_BYTES: Final = 6_000  # of one text in the metadata, which holds 16 KiB, quotes and escapes counted


def fit(text: str, most_bytes: int = CONTENT_BYTES) -> str:
    """Return the beginning of ``text`` that fits into ``most_bytes`` of UTF-8, without what PostgreSQL cannot store."""
    encoded = text.replace("\0", "").encode(errors="replace")
    return encoded[:most_bytes].decode(errors="ignore")


def as_text(value: Any) -> str:
    """Return ``value`` as it is if it is text, else as JSON."""
    return fit(value if isinstance(value, str) else orjson.dumps(value, default=str).decode())


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are given."""
    return {name: value for name, value in fields.items() if value is not None}
