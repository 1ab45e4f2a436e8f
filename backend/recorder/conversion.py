"""Conversion of a voice framework's values into one message of the recorder."""

from datetime import datetime
from typing import Any
from uuid import UUID

from backend.recorder.recorder import Recorder
from backend.schemas.repair import as_text


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
