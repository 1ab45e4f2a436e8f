"""Folding: the words of a text in the form in which search compares them.

A search must find what was said, however it was typed: in capitals or not, with accents or without, composed (NFC) or
decomposed (NFD), in full-width or ordinary letters. So text and query are folded by the same function:

- Compatibility decomposition (NFKD), then case folding: in this order, because the first makes capitals of symbols.
- The combining marks U+0300 to U+036F are dropped, which are the accents of Latin, Greek and Cyrillic letters. Others
  stay: in Thai and Japanese a mark makes another word. Invisible characters inside of words are dropped, too.
- The letters of `_PLAIN`, which have no decomposition, become the letters that a person without them types.
- Canonical composition (NFC), which makes whole Hangul syllables again.

A word is a run of letters, digits and their marks; every other character separates words, an underscore, too.

Thai, Lao, Khmer, Burmese, Japanese and Chinese are written without spaces, and Korean often is. Without a dictionary
nothing tells where one of their words ends. So of a run of such letters each pair of neighbours becomes a word, and
each letter takes one position: a run in a query is then a phrase of pairs, and found inside of any longer run. The last
letter is a word by itself, so that every letter begins a word. Spaces between such letters are ignored, because
transcripts may have them between words.

A change to what this module returns must raise `FOLDING_VERSION`: then all stored words are made again.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple
from unicodedata import normalize

FOLDING_VERSION: Final = 1
LONGEST_WORD: Final = 64  # characters; the rest of a longer word is neither stored nor compared

_INVISIBLE: Final = "\u00ad\u200b\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
_UNSEEN: Final = re.compile(f"[{_INVISIBLE}]+")
_DROPPED: Final = re.compile(f"[\u0300-\u036f{_INVISIBLE}]+")
_PLAIN: Final = str.maketrans(
    {"\u0111": "d", "\u0131": "i", "\u0142": "l", "\u00f8": "o", "\u00e6": "ae", "\u0153": "oe", "\u00df": "ss"}
)
# The letters, marks and digits of the blocks of scripts without spaces, after NFKC: Thai, Lao, Myanmar, Hangul Jamo,
# Khmer, CJK Radicals, Kana, Bopomofo, CJK Unified Ideographs with Extension A, Hangul Syllables, Kana Supplement, and
# the ideographs of planes 2 and 3. Their punctuation is left out.
_DENSE: Final = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59\u0e81-\u0edf\u1000-\u1049\u1050-\u109d\ua9e0-\ua9fe\uaa60-\uaa76"
    "\uaa7a-\uaa7f\u1100-\u11ff\u302e\u302f\ua960-\ua97c\ud7b0-\ud7fb\uac00-\ud7a3\u1780-\u17d3\u17d7\u17dc-\u17e9"
    "\u2e80-\u2fd5\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U0001aff0-\U0001b16f\U00020000-\U0003fffd"
)
# The marks of scripts with spaces, which Python does not count among the letters: Cyrillic, Hebrew, Arabic, Syriac,
# Thaana, the scripts of India and Sri Lanka, Tibetan, Ethiopic, and the combining marks of all scripts.
_MARKS: Final = (
    "\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u07a6-\u07b0\u0900-\u0963\u0971-\u09f1\u09fe-\u0a75"
    "\u0a81-\u0aef\u0afa-\u0b6f\u0b82-\u0bef\u0c00-\u0c6f\u0c80-\u0c83\u0c85-\u0cf3\u0d00-\u0d4e\u0d54-\u0d57"
    "\u0d5f-\u0d78\u0d7a-\u0df3\u0f18\u0f19\u0f35\u0f37\u0f39\u0f3e\u0f3f\u0f71-\u0f84\u0f86\u0f87\u0f8d-\u0fbc"
    "\u135d-\u135f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
)
_RUN: Final = re.compile(
    f"(?P<dense>[{_DENSE}]+(?:\\s++[{_DENSE}]+)*)|[^\\W_{_DENSE}]+(?:[{_MARKS}]+[^\\W_{_DENSE}]*)*"
)


class Word(NamedTuple):
    """A folded word, its ``position`` among the words from 1, and its place [start, end) in the folded text.

    ``dense`` marks a pair of letters of a script without spaces, and the last letter of a run of them.
    """

    text: str
    position: int
    start: int
    end: int
    dense: bool


def fold(text: str) -> str:
    """Return ``text`` folded. Any text can be folded, and folding it again changes nothing."""
    if text.isascii():
        return text.lower()
    folded = _DROPPED.sub("", normalize("NFKD", text).casefold())
    return folded if folded.isascii() else normalize("NFC", folded.translate(_PLAIN))


def fold_but_accents(text: str) -> str:
    """Return ``text`` folded, but with its accents and its own letters, for `accents=exact`."""
    return normalize("NFC", _UNSEEN.sub("", normalize("NFKD", text).casefold()))


def words(folded: str) -> Iterator[Word]:
    """Yield the words of a folded text, in their order."""
    position = 1
    for run in _RUN.finditer(folded):
        start, end = run.span()
        if run.lastgroup is None:
            yield Word(folded[start:end][:LONGEST_WORD], position, start, end, False)
            position += 1
            continue
        places = [place for place in range(start, end) if not folded[place].isspace()]
        for place, following in pairwise(places):
            yield Word(folded[place] + folded[following], position, place, following + 1, True)
            position += 1
        yield Word(folded[end - 1], position, end - 1, end, True)
        position += 1
