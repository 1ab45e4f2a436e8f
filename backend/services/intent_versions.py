"""Versions of intents: two intents have the same version exactly if PostgreSQL compares their jsonb as equal.

So the service recognises a retry although the client wrote a number differently (1, 1.0 and 10e-1 are one number in
jsonb) or the fields of an object in another order. The version is a digest and no counter, because the host's table has
no column for a counter.
"""

import hashlib
import json
from typing import Final

from pydantic import JsonValue

_BYTES: Final = 16


def version_of(intent: str, payload: bytes | str) -> str:
    """Return the version of ``intent`` with ``payload``, which is JSON text: 32 hexadecimal digits."""
    document = json.loads(payload, parse_int=_integer, parse_float=_number, object_pairs_hook=_sorted)
    # In ASCII, because `repr` depends on which characters Python's version of Unicode considers printable.
    return hashlib.blake2b(ascii((str(intent), document)).encode(), digest_size=_BYTES).hexdigest()


# Both return the canonical form of a number, in a tuple, which no other JSON value becomes. They work on the text,
# because arithmetic would round, and Decimal takes three times as long: a payload can hold 32,000 numbers.
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
