"""JSON that is a single line for every reader, for JSON Lines and server-sent events.

JSON encoders escape line feeds, but not U+0085, U+2028 and U+2029. Many line readers (`str.splitlines`, httpx's
`aiter_lines`, JavaScript before ES2019) end a line at these, and so split a document in two. In JSON these characters
occur only in strings, where an escape sequence has the same meaning.
"""

from typing import Final

_ESCAPES: Final = {character.encode(): f"\\u{ord(character):04x}".encode() for character in "\x85\u2028\u2029"}


def one_line(document: bytes) -> bytes:
    """Return the JSON ``document``, which holds no line feed, with every other line terminator escaped."""
    for character, escape in _ESCAPES.items():
        document = document.replace(character, escape)
    return document
