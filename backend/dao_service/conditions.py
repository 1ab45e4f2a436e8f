"""The conditions of a list's filters as SQL text for the driver."""

from collections.abc import Sequence
from itertools import count


def numbered(conditions: Sequence[str], *, first: int) -> str:
    """Return ``conditions`` as SQL, each after AND; each of their `{}` becomes a parameter, numbered from ``first``."""
    pieces = "".join(f" AND {condition}" for condition in conditions).split("{}")
    return "".join(f"{piece}${number}" for piece, number in zip(pieces[:-1], count(first))) + pieces[-1]
