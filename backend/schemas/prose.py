"""A conversation for a person to read: as text, or as Markdown.

Nobody can say a line that looks like another's, break out of their own, or turn around what others said: only a
speaker's line begins at the margin, markup is made plain, and what a reader would not see is shown.
"""

import re
from typing import Final

import orjson

# Controls, and what changes the direction or the joining of what follows (Unicode TR 9 and TR 36).
_UNSEEN: Final = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
# ASCII punctuation is what Markdown may take for markup, and what a backslash makes plain (CommonMark 2.4).
_MARKUP: Final = re.compile(r"([!-/:-@\[-`{-~])")
_INDENT: Final = re.compile(r"^ +")


def visible(line: str) -> str:
    """Return ``line`` with what cannot be seen made visible, as <U+202E>."""
    return _UNSEEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", line)


def text(document: bytes) -> bytes:
    """Return a message as lines of text."""
    message = orjson.loads(document)
    said = "\n    ".join(map(visible, message["content"].splitlines()))
    return f"[{_time(message)}] {message['role']}: {said}\n".encode()


def markdown(document: bytes) -> bytes:
    """Return a message as a quotation."""
    message = orjson.loads(document)
    said = "  \n> ".join(map(_plain, message["content"].splitlines()))
    return f"\n**{message['role']}** · {_time(message)}\n\n> {said}\n".encode()


def _plain(line: str) -> str:
    # A line that begins with four spaces would be code, in which no backslash works.
    return _INDENT.sub(lambda found: "\xa0" * len(found[0]), _MARKUP.sub(r"\\\1", visible(line)))


def _time(message: dict[str, str]) -> str:
    """Return when it was said, in UTC, to the second."""
    return message["timestamp"][:19].replace("T", " ")
