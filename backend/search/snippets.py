"""Where a query was found in a text: ranges of code points of the original, found by the folding that found the text.

PostgreSQL's `ts_headline` would parse the text in its own way, and mark other words than those that were found.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final
from unicodedata import category, normalize

from backend.search.folding import Word, fold, words
from backend.search.query import Term

MOST_RANGES: Final = 100  # in one text
_JOINING: Final = {"Mn", "Mc", "Me", "Cf"}  # categories of marks, and of invisible characters, which may be dropped
_JOINING_JAMO: Final = frozenset(map(chr, range(0x1160, 0x1200)))  # vowels and final consonants of Hangul

Folding = Callable[[str], str]


def ranges(text: str, terms: Iterable[Term]) -> list[list[int]]:
    """Return the ranges [start, end) of ``text`` that ``terms`` ask for, in order and apart, at most MOST_RANGES.

    ``start`` and ``end`` count code points from 0. A phrase is one range. Negated terms have none.
    """
    found = [*words(fold(text))]
    wanted = [term for term in terms if not term.negated]
    places = _merged(place for term in wanted for place in islice(_occurrences(term, found), MOST_RANGES))
    return _in_original(text, places[:MOST_RANGES])


def occurs(term: Term, texts: Iterable[str], folding: Folding) -> bool:
    """Return whether ``term`` is in one of ``texts`` if text and query are folded by ``folding``."""
    return any(any(_occurrences(term, [*words(folding(text))])) for text in texts)


def _occurrences(term: Term, found: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of the folded text where ``term`` is; ``found`` are its words, with positions from 1."""
    for index, word in enumerate(found):
        if not term.steps[0].matches(word):
            continue
        place = index
        for step in term.steps[1:]:
            place += step.distance
            if place >= len(found) or not step.matches(found[place]):
                break
        else:
            last, asked = found[place], term.steps[-1]
            # A letter of a script without spaces is asked for as the beginning of a pair.
            yield word.start, last.start + 1 if last.dense and len(asked.text) == 1 else last.end


def _merged(places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _in_original(text: str, places: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the ranges of ``text`` that became the ranges ``places`` of its folded form."""
    if text.isascii():
        return [[*place] for place in places]
    begins, ends = [], []  # of each cluster: where it begins in the original, and where it ends in the folded text
    end = 0
    for begin, cluster in _clusters(text):
        begins.append(begin)
        end += len(fold(cluster))
        ends.append(end)
        if not places or end > places[-1][1]:
            break
    begins.append(len(text))
    return [[begins[bisect_right(ends, start)], begins[bisect_right(ends, end - 1) + 1]] for start, end in places]


def _clusters(text: str) -> Iterator[tuple[int, str]]:
    """Yield the parts of ``text`` that can be folded one by one, each with its place."""
    begin = 0
    for place, character in enumerate(text):
        if place and not _joins(character):
            yield begin, text[begin:place]
            begin = place
    yield begin, text[begin:]


def _joins(character: str) -> bool:
    """Return whether folding may join ``character`` and the one before it."""
    if character.isascii():
        return False
    first = normalize("NFKD", character)[0]
    return category(first) in _JOINING or first in _JOINING_JAMO
