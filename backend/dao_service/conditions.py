"""The conditions of a list's filters as SQL text for the driver."""

from collections.abc import Iterable, Sequence
from itertools import count


def given(conditions: Iterable[tuple[str, object]]) -> tuple[tuple[str, ...], list[object]]:
    """Return the texts and the values of those ``conditions`` whose value is not None."""
    found = [(text, value) for text, value in conditions if value is not None]
    return tuple(text for text, _ in found), [value for _, value in found]


def numbered(conditions: Sequence[str], *, first: int) -> str:
    """Return ``conditions`` as SQL, each after AND; each of their `{}` becomes a parameter, numbered from ``first``."""
    pieces = "".join(f" AND {condition}" for condition in conditions).split("{}")
    return "".join(f"{piece}${number}" for piece, number in zip(pieces[:-1], count(first))) + pieces[-1]
