"""Conversion of a voice framework's values into one message of the recorder."""

from datetime import UTC, datetime
from math import isfinite
from typing import Any
from uuid import UUID

from verbatim_record.recorder.recorder import Recorder
from verbatim_record.repair import as_text


def take(
    recorder: Recorder,
    role: str,
    content: object,
    *,
    timestamp: datetime | str | None = None,
    id: UUID | None = None,  # noqa: A002 -- the field's name
    **metadata: Any,
) -> None:
    """Record one message; content that is not text becomes JSON text, and metadata that is None is left out."""
    given = {name: value for name, value in metadata.items() if value is not None}
    recorder.record(role, as_text(content), timestamp=timestamp, metadata=given, id=id)


def latency(**seconds: float | None) -> dict[str, int] | None:
    """Return the latencies that are known as whole milliseconds, such as `total_ms` for ``total``; None without one."""
    known = {name: value for name, value in seconds.items() if value is not None and isfinite(value)}
    return {f"{name}_ms": round(value * 1000) for name, value in known.items()} or None


def moment(seconds: float | None) -> str | None:
    """Return a time in seconds since 1970 as RFC 3339 in UTC, or None if it is unknown or not a valid time."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    except (OverflowError, ValueError, OSError):
        return None
