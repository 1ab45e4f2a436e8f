"""The field types of requests, with their limits.

Each rule protects readers. These types refuse what PostgreSQL cannot store, what JSON cannot represent, and what
clients in other languages would read as another value.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, JsonValue, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from verbatim_record.message_limits import (
    CONTENT_BYTES,
    METADATA_BYTES,
    METADATA_DEPTH,
    NotStorable,
    check_storable,
    stored_bytes,
)

PAYLOAD_BYTES: Final = 65_536
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
CLOCK_SKEW: Final = timedelta(minutes=5)

_YEARS: Final = range(2, 9999)
_IMPLAUSIBLE: Final = datetime(1000, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

JsonObject = dict[str, JsonValue]
# `T | Omitted`: a field of an answer that may be absent, but is never null. In a request each fault would count twice.
Omitted = SkipJsonSchema[None]


def _storable(text: str) -> str:
    try:
        return check_storable(text)
    except NotStorable as error:
        raise PydanticCustomError(error.kind, str(error)) from None


def _content(text: str) -> str:
    # UTF-8 needs at most four bytes per character, so most texts are not encoded to be measured.
    if len(text) * 4 > CONTENT_BYTES and len(text.encode()) > CONTENT_BYTES:
        raise PydanticCustomError("too_long", f"must be at most {CONTENT_BYTES} bytes of UTF-8")
    return _storable(text)


def _rfc_3339(value: object) -> object:
    # Pydantic's parser would accept numbers and strings of digits as seconds since 1970.
    if not (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        raise PydanticCustomError("timestamp", "must be an RFC 3339 time with a zone, such as 2026-01-31T09:30:00Z")
    return value


def _year_in_range(moment: datetime) -> datetime:
    # At the edges of Python's calendar a conversion to another zone overflows.
    if moment.year not in _YEARS:
        raise PydanticCustomError("timestamp_range", "must lie between the years 2 and 9998")
    return moment


def _with_known_year(value: object) -> object:
    # A year that Python cannot represent or convert is as implausible as any other wrong time.
    return _IMPLAUSIBLE if _rfc_3339(value) and int(str(value)[:4]) not in _YEARS else value


def _plausible_or_none(moment: datetime | None) -> datetime | None:
    return moment if moment is not None and plausible(moment) else None


def plausible(moment: datetime) -> bool:
    """Return whether a correct clock can show ``moment``: from EARLIEST to CLOCK_SKEW after now, both inclusive."""
    return EARLIEST <= moment <= datetime.now(UTC) + CLOCK_SKEW


def clock_time(value: object) -> datetime | None:
    """Return the time of an RFC 3339 text with a zone; an implausible one if its year is not 2 to 9998.

    Return None for any other value.
    """
    if not (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        return None
    if int(value[:4]) not in _YEARS:
        return _IMPLAUSIBLE
    try:
        return datetime.fromisoformat(value.upper())
    except ValueError:  # such as the 30th of February
        return None


def _metadata(value: JsonObject, most: int = METADATA_BYTES) -> JsonObject:
    try:
        size = stored_bytes(value) if value else 0
    except NotStorable as error:
        raise PydanticCustomError(error.kind, str(error)) from None
    if size > most:
        raise PydanticCustomError("too_long", f"must be at most {most} bytes when encoded")
    return value


Content = Annotated[
    str, AfterValidator(_content), Field(description=f"What was said; at most {CONTENT_BYTES} bytes of UTF-8.")
]
Label = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]
Metadata = Annotated[
    JsonObject,
    AfterValidator(_metadata),
    Field(
        description=f"Any other data of the message: at most {METADATA_BYTES} bytes as JSON, nested at most "
        f"{METADATA_DEPTH} levels."
    ),
]
Payload = Annotated[
    JsonObject,
    AfterValidator(partial(_metadata, most=PAYLOAD_BYTES)),
    Field(
        description=f"The details of the intent: at most {PAYLOAD_BYTES} bytes as JSON, nested at most "
        f"{METADATA_DEPTH} levels."
    ),
]
Instant = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_rfc_3339),
    AfterValidator(_year_in_range),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
# A time of a client's clock, which may be wrong: the code that uses it checks whether it is `plausible`.
Timestamp = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_with_known_year),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
PlausibleTime = Annotated[Timestamp | None, AfterValidator(_plausible_or_none)]
