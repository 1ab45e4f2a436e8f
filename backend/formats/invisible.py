"""Escaping of invisible and bidirectional control characters in transcripts for people.

Such characters can hide words from a person that a program reads, or reverse the order of text (Unicode TR 36 and
TR 39). So each is replaced by its number, as <U+202E>, unless a script needs it at that place:

- ZERO WIDTH JOINER and NON-JOINER after a letter of a script that joins letters, the former also inside of emoji;
- VARIATION SELECTOR-15 and -16 after an emoji, and the selectors of Mongolian and Myanmar after letters of these;
- ZERO WIDTH SPACE beside a letter of a script that is written without spaces;
- direction marks in a line that holds right-to-left text.

A character that follows another one of its kind is always replaced: no script needs two in a row.
"""

import re
from collections.abc import Callable
from functools import cached_property
from typing import Final
from unicodedata import bidirectional, category, east_asian_width

# Unicode 17.0: [\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}], without
# \p{Prepended_Concatenation_Mark}, which is visible. A test derives it again from ICU's data. The standard library does
# not have Default_Ignorable_Code_Point, and reports characters that are newer than itself as unassigned, also emoji.
_BMP_PROPERTIES: Final = (
    "\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
)
_PROPERTIES: Final = (
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    + "".join(f"{chr(plane + 0xFFFE)}-{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0xD0000, 0x10000))
    + "\U000dfffe-\U000e0fff\U000efffe-\U0010ffff"
)
# Characters with a blank glyph, by their names and code charts: BRAILLE PATTERN BLANK, MUSICAL SYMBOL NULL NOTEHEAD,
# EGYPTIAN HIEROGLYPH FULL and HALF BLANK, KHITAN SMALL SCRIPT FILLER.
_BMP_BLANK: Final = "\u2800"
_BLANK: Final = "\U0001d159\U00013441\U00013442\U00016fe4"
_UNSEEN: Final = re.compile(f"[{_BMP_PROPERTIES}{_BMP_BLANK}{_PROPERTIES}{_BLANK}]")
# The ranges beyond the BMP take twenty times as long, and few lines have many characters from there. So all of these
# are found by one range, and looked up.
_SUSPECT: Final = re.compile(f"[{_BMP_PROPERTIES}{_BMP_BLANK}\U00010000-\U0010ffff]")
_FEW: Final = 8  # in a line, one character beyond the BMP among so many; a lookup takes as long as a search of ten

_MARKS: Final = {"Mn", "Mc", "Me"}
_SYMBOLS: Final = {"So", "Sm", "Sk"}
_EMOJI_PLANE: Final = range(0x1F000, 0x20000)  # a range, because the standard library lacks the newest emoji
_OTHER_EMOJI: Final = frozenset("#*0123456789‼⁉〰〽ℹ")  # noqa: RUF001 -- emoji that are no symbols by their category
_RIGHT_TO_LEFT: Final = {"R", "AL"}
_DIRECTIONS: Final = "\u200e\u200f\u061c"
# Line breaking class SA (UAX 14): Thai, Lao, Myanmar, Khmer, Tai Le, New Tai Lue, Tai Tham, Tai Viet, Ahom.
WITHOUT_SPACES: Final = re.compile(
    "[\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0edf\u1000-\u109f\u1780-\u17dd\u1950-\u1974\u1980-\u19df\u1a20-\u1aad"
    "\ua9e0-\ua9fe\uaa60-\uaadf\U00011700-\U0001173f]"
)
_MONGOLIAN: Final = re.compile("[\u1820-\u18aa]")
_MYANMAR: Final = re.compile("[\u1000-\u109f\uaa60-\uaa7f]")


def visible(line: str) -> str:
    """Return ``line`` with each invisible character that no script needs at its place written as <U+202E>."""
    if line.isascii() and line.isprintable():
        return line
    beyond = len(line.encode("utf-16-le", "surrogatepass")) // 2 - len(line)
    if beyond * _FEW > len(line):
        return _UNSEEN.sub(_Line(line).shown, line)
    return _SUSPECT.sub(_Line(line).shown_if_unseen, line)


class _Line:
    """One line of text, and the rules that decide whether an invisible character is needed at a place in it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def shown_if_unseen(self, found: re.Match[str]) -> str:
        """Return the character that was found, or its number if it is one of `_UNSEEN` and not needed."""
        return found[0] if found[0] > "\uffff" and not _UNSEEN.match(found[0]) else self.shown(found)

    def shown(self, found: re.Match[str]) -> str:
        """Return the character that was found, or its number."""
        needed = _NEEDED.get(found[0])
        place = found.start()
        return found[0] if needed and place and needed(self, place) else f"<U+{ord(found[0]):04X}>"

    @cached_property
    def is_bidirectional(self) -> bool:
        return any(bidirectional(each) in _RIGHT_TO_LEFT and each not in _DIRECTIONS for each in self._text)

    def needs_direction(self, place: int) -> bool:
        return self._text[place - 1] not in _DIRECTIONS and self.is_bidirectional

    def needs_joiner(self, place: int) -> bool:
        before = self._text[place - 1]
        if before == "\ufe0f":
            return place > 1 and self.needs_emoji_selector(place - 1)
        return _is_emoji(before) or self.needs_non_joiner(place)

    def needs_non_joiner(self, place: int) -> bool:
        base = place - 1
        while base and category(self._text[base]) in _MARKS and not _UNSEEN.match(self._text[base]):
            base -= 1
        letter = self._text[base]
        return category(letter) in {"Lo", "Lm"} and east_asian_width(letter) == "N" and not _UNSEEN.match(letter)

    def needs_emoji_selector(self, place: int) -> bool:
        before = self._text[place - 1]
        return _is_emoji(before) or before in _OTHER_EMOJI

    def needs_space(self, place: int) -> bool:
        before, after = self._text[place - 1], self._text[place + 1 : place + 2]
        return bool(WITHOUT_SPACES.match(before) or (WITHOUT_SPACES.match(after) and not _UNSEEN.match(before)))

    def follows_mongolian(self, place: int) -> bool:
        return bool(_MONGOLIAN.match(self._text[place - 1]))

    def follows_myanmar(self, place: int) -> bool:
        return bool(_MYANMAR.match(self._text[place - 1]))


def _is_emoji(character: str) -> bool:
    if _UNSEEN.match(character):
        return False
    return category(character) in _SYMBOLS or ord(character) in _EMOJI_PLANE


_NEEDED: Final[dict[str, Callable[[_Line, int], bool]]] = {
    "\u200b": _Line.needs_space,
    "\u200c": _Line.needs_non_joiner,
    "\u200d": _Line.needs_joiner,
    "\ufe0e": _Line.needs_emoji_selector,
    "\ufe0f": _Line.needs_emoji_selector,
    "\ufe00": _Line.follows_myanmar,
    **dict.fromkeys(_DIRECTIONS, _Line.needs_direction),
    **dict.fromkeys("\u180b\u180c\u180d\u180e\u180f", _Line.follows_mongolian),
}
