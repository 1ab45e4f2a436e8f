"""JSON that stays one line for every reader.

JSON escapes line feeds, yet leaves U+0085, U+2028 and U+2029 as they are. Many line readers (`str.splitlines`, httpx's
`aiter_lines`, JavaScript before ES2019) end a line there, and so break a document of JSON Lines or a server-sent event
in two. Inside JSON these characters stand only in strings, where an escape means the same.
"""

from typing import Final

_ESCAPES: Final = {character.encode(): f"\\u{ord(character):04x}".encode() for character in "\x85\u2028\u2029"}


def one_line(document: bytes) -> bytes:
    """Return the JSON ``document``, which holds no line feed, with every other line terminator escaped."""
    for character, escape in _ESCAPES.items():
        document = document.replace(character, escape)
    return document
