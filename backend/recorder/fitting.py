"""Taking what a framework hands over, so that what hangs on a message never costs the message itself."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import orjson

from backend.recorder.recorder import Recorder
from backend.schemas.fields import CONTENT_BYTES, clock_time
from backend.schemas.mending import Repairs, as_text, parts
from backend.vocabulary import Repaired

_MOST_JSON: Final = 2 * 2**20  # bytes of a text as it travels, half of what the service takes at once


def take(
    recorder: Recorder,
    role: str,
    content: object,
    *,
    timestamp: datetime | str | None = None,
    id: UUID | None = None,  # noqa: A002 -- the field's name
    **metadata: Any,
) -> None:
    """Record one message, or several in its place if its text is longer than a message may be.

    What is no text is recorded as JSON, and a time that cannot be read is now; metadata that is None is left out.
    """
    repairs = Repairs()
    moment = clock_time(timestamp) if isinstance(timestamp, str) else timestamp
    if moment is None and timestamp:
        repairs.note(Repaired.TIMESTAMP)
    text = as_text(content)
    # Of control characters JSON makes six bytes each.
    longest = CONTENT_BYTES if len(text) * 6 <= _MOST_JSON or _json_size(text) <= _MOST_JSON else CONTENT_BYTES // 4
    given = {name: value for name, value in metadata.items() if value is not None}
    for place, (part, about) in enumerate(parts(text, given, repairs, longest)):
        identity = uuid5(id, str(place)) if id and place else id
        recorder.record(role, part, timestamp=moment, metadata=about, id=identity)


def _json_size(text: str) -> int:
    return len(orjson.dumps(text.encode(errors="replace").decode()))
