"""A conversation for a person to read: as text, or as Markdown.

What is said cannot look like another speaker's line, leave its own, or turn around what others said: only a speaker's
line begins at the margin, markup is escaped, and invisible characters are shown.
"""

import re
from typing import Final

import orjson

from backend.formats.invisible import visible

# ASCII punctuation is what Markdown may take for markup, and what a backslash makes plain (CommonMark 2.4).
_MARKUP: Final = re.compile(r"([!-/:-@\[-`{-~])")
_INDENT: Final = re.compile(r"^ +")


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
