"""Versions of intents: the same for what PostgreSQL holds to be the same JSON, another for everything else.

So a retry is known for one, whichever way its sender writes numbers and in whatever order its objects come: to jsonb 1,
1.0 and 10e-1 are one number, and an object has no order. It is a digest, because the host's table has no column for a
count.
"""

import hashlib
import json
from typing import Final

from pydantic import JsonValue

_BYTES: Final = 16


def version_of(intent: str, payload: bytes | str) -> str:
    """Return the version of an intent whose payload is this JSON text."""
    document = json.loads(payload, parse_int=_integer, parse_float=_number, object_pairs_hook=_sorted)
    # As Python would write it in ASCII, which no version of Unicode changes.
    return hashlib.blake2b(ascii((str(intent), document)).encode(), digest_size=_BYTES).hexdigest()


# Both return the one way to write a number, in what nothing else in JSON becomes. They cut strings, because arithmetic
# would round, and Decimal takes three times as long: a payload can hold 32,000 numbers.
def _integer(text: str) -> tuple[str]:
    digits = text.lstrip("-")
    significant = digits.rstrip("0")
    if not significant:
        return ("0",)
    return (f"{'-' * (len(text) - len(digits))}{significant}e{len(digits) - len(significant)}",)


def _number(text: str) -> tuple[str]:
    mantissa, _, power = text.lower().partition("e")
    unsigned = mantissa.lstrip("-")
    whole, _, fraction = unsigned.partition(".")
    written = (whole + fraction).lstrip("0")
    significant = written.rstrip("0")
    if not significant:
        return ("0",)
    exponent = int(power or 0) - len(fraction) + len(written) - len(significant)
    return (f"{'-' * (len(mantissa) - len(unsigned))}{significant}e{exponent}",)


def _sorted(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    return dict(sorted(dict(pairs).items()))
