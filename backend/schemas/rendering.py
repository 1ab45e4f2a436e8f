"""From values to bytes: times in UTC with ``Z``, UUIDs in lower case (RFC 3339, RFC 9562)."""

import orjson


def to_json(value: object) -> bytes:
    """Return ``value`` as JSON in UTF-8. Drivers subclass UUID; those, too, are written as text."""
    return orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z)
