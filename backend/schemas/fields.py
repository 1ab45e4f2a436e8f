"""The field types of requests, with their limits.

Each rule protects readers. These types refuse what PostgreSQL cannot store, what JSON cannot represent, and what
clients in other languages would read as another value.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Final

import orjson
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, JsonValue, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

CONTENT_BYTES: Final = 2**20
METADATA_BYTES: Final = 16_384
PAYLOAD_BYTES: Final = 65_536
METADATA_DEPTH: Final = 32
# The integers that every JSON reader keeps exact (RFC 8259, section 6). Every float beyond is an integer too.
LARGEST_NUMBER: Final = 2**53 - 1
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
CLOCK_SKEW: Final = timedelta(minutes=5)

_YEARS: Final = range(2, 9999)
_IMPLAUSIBLE: Final = datetime(1000, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

JsonObject = dict[str, JsonValue]
# `T | Omitted`: a field or a parameter that may be absent, but is never null in JSON.
Omitted = SkipJsonSchema[None]


def _storable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "must not contain U+0000, which PostgreSQL cannot store")
    return text


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


def _stored_size(value: JsonValue, depth: int) -> int:
    """Validate ``value`` and return by how many bytes its numbers grow when PostgreSQL writes them in full."""
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, float):
        return _decimal_growth(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        _check_magnitude(value)
    elif isinstance(value, dict | list):
        if depth >= METADATA_DEPTH:
            raise PydanticCustomError("depth", f"must not be nested deeper than {METADATA_DEPTH}")
        if isinstance(value, dict):
            for key in value:
                _storable(key)
        return sum(_stored_size(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value))
    return 0


def _check_magnitude(number: float) -> None:
    if not abs(number) <= LARGEST_NUMBER:  # true for NaN, too
        raise PydanticCustomError("number", "must hold only finite numbers of magnitude at most 2^53-1")


def _decimal_growth(number: float) -> int:
    # JSONB stores 1e-300 as a decimal and prints all its zeros.
    _check_magnitude(number)
    shortest = repr(number)
    return len(format(Decimal(shortest), "f")) - len(shortest)


def stored_bytes(value: JsonValue) -> int:
    """Return the size of ``value`` as JSON in bytes, with numbers as PostgreSQL prints them.

    Raises PydanticCustomError for a value that metadata cannot hold.
    """
    return _stored_size(value, 0) + len(orjson.dumps(value))


def _metadata(value: JsonObject, most: int = METADATA_BYTES) -> JsonObject:
    if value and stored_bytes(value) > most:
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
