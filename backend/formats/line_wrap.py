"""Wrapping of text into lines of captions, in any script.

The width of a line is counted in cells: a character of Chinese or Japanese takes two, a combining mark none. A line
breaks at its last space. Beside a Chinese or Japanese character it may break without one, as long as the next line does
not begin with a mark that closes (kinsoku). In Thai and Lao it may break before a vowel that is written in front of its
consonant, because that begins a syllable; finding words takes a dictionary. What has no such place, as a long URL, is
cut between two characters as a reader sees them (grapheme clusters).
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final
from unicodedata import east_asian_width

from rich.cells import split_graphemes

from backend.formats.invisible import WITHOUT_SPACES

WIDTH: Final = 42  # cells in a line, the usual bound of subtitles
_LONGEST: Final = 32 * WIDTH  # code points in a line; only marks that are piled on one character come to so many
# Characters of one cell that combine with none: ASCII, Latin, Greek and Cyrillic, Vietnamese, quotation marks.
_RANGES: Final = ((0x20, 0x7F), (0xA1, 0xAD), (0xAE, 0x300), (0x370, 0x483), (0x1E00, 0x1F00), (0x2013, 0x2027))
_NARROW: Final = frozenset(map(chr, chain.from_iterable(range(*each) for each in _RANGES)))
_NOT_FIRST: Final = frozenset(
    ",.!?:;)]}'\"…、。，．・：；？！）］｝」』】〕〉》ーぁぃぅぇぉっゃゅょァィゥェォッャュョ々〜"  # noqa: RUF001 -- the point
)
_NOT_LAST: Final = frozenset("([{（［｛「『【〔〈《")  # noqa: RUF001 -- the point
_LEADING_VOWELS: Final = frozenset("เแโใไເແໂໃໄ")
_HANGUL: Final = range(0xAC00, 0xD7A4)  # wide, but written with spaces
_JOINING: Final = frozenset("\u200d\ufe0e\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")  # of emoji


def wrap(text: str) -> Iterator[str]:
    """Yield the lines of ``text``, which has no line breaks; each is at most WIDTH cells wide, and none is empty."""
    start = 0
    while start < len(text):
        end = _fitting(text, start)
        if end < len(text):
            end = _break(text, start, end)
        if line := text[start:end].strip(" "):
            yield line
        start = end


def _fitting(text: str, start: int) -> int:
    """Return the end of the longest line that begins at ``start``, between two grapheme clusters."""
    # One character more, because it may belong to the one before.
    if _NARROW.issuperset(text[start : start + WIDTH + 1]):
        return min(start + WIDTH, len(text))
    size = 2 * WIDTH
    spans, width = split_graphemes(text[start : start + size], "latest")
    while width <= WIDTH and start + size < len(text) and size < _LONGEST:
        size *= 2
        spans, width = split_graphemes(text[start : start + size], "latest")
    room = WIDTH
    for first, _, cells in spans:
        room -= cells
        if room < 0:
            return start + first
    return start + spans[-1][1]


def _break(text: str, start: int, end: int) -> int:
    """Return the last place after ``start`` and up to ``end`` where the line may break, ``end`` if there is none."""
    for place in range(end, start, -1):
        before, after = text[place - 1], text[place]
        if after == " " or before == " " or _may_part(before, after):
            return place
    return end


def _may_part(before: str, after: str) -> bool:
    """Tell whether a line may break between two characters that are not spaces."""
    if after in _NOT_FIRST or before in _NOT_LAST or after in _JOINING or before in _JOINING:
        return False
    if _is_ideograph(before) or _is_ideograph(after):
        return True
    return before == "-" or (after in _LEADING_VOWELS and WITHOUT_SPACES.match(before) is not None)


def _is_ideograph(character: str) -> bool:
    return ord(character) not in _HANGUL and east_asian_width(character) in "WF"
