"""Transcript formats `text` and `markdown`, for a person to read.

Content cannot break the format: only the line of a speaker begins at the margin, markup is escaped, and control and
bidirectional characters are made visible.
"""

import re
from typing import Final

import orjson

from backend.formats.invisible import visible

# Markdown interprets ASCII punctuation only, and a backslash escapes each of these characters (CommonMark 2.4).
_MARKUP: Final = re.compile(r"([!-/:-@\[-`{-~])")
_INDENT: Final = re.compile(r"^ +")


def text(document: bytes) -> bytes:
    """Return the message ``document`` (JSON) as lines of text; further lines are indented by four spaces."""
    message = orjson.loads(document)
    said = "\n    ".join(map(visible, message["content"].splitlines()))
    return f"[{_time(message)}] {message['role']}: {said}\n".encode()


def markdown(document: bytes) -> bytes:
    """Return the message ``document`` (JSON) as a Markdown block quote under its speaker and time."""
    message = orjson.loads(document)
    said = "  \n> ".join(map(_plain, message["content"].splitlines()))
    return f"\n**{message['role']}** · {_time(message)}\n\n> {said}\n".encode()


def _plain(line: str) -> str:
    # A line that begins with four spaces would be a code block, in which a backslash does not escape.
    return _INDENT.sub(lambda found: "\xa0" * len(found[0]), _MARKUP.sub(r"\\\1", visible(line)))


def _time(message: dict[str, str]) -> str:
    """Return the message's time in UTC, cut to seconds."""
    return message["timestamp"][:19].replace("T", " ")
