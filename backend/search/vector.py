"""What is stored of a message for search: a `tsvector` of its words, and of facts about it that narrow a search.

The facts are lexemes that begin with a colon. No word does, so no text contains them and no query can ask for them.
They are the owner, the context type, the role, and the numbers of the two ranges in which the message's position lies.
With them one index answers "this word, of this owner, among the newest". They make a search fast, and decide nothing:
the conversation decides who may read a message (`dao_service.ownership`).

PostgreSQL refuses a tsvector of more than 1 MiB, counts positions up to 16,383, and keeps up to 255 of a lexeme. So of
a very long message this is lost: phrases beyond its 16,383rd word, where each word is still found by itself; and all
words after those of which the lexemes take `_MOST_BYTES`. That is more than a person says in two hours, but the result
of a function may be longer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import orjson

from backend.search.folding import fold, words
from verbatim_record.vocabulary import Role

NEAR: Final = 2**16  # positions in the smaller range
FAR: Final = 2**20  # positions in the larger range

_MOST_BYTES: Final = 2**18  # of the lexemes of one message
_OVERHEAD: Final = 4  # bytes of a lexeme beside its text and its positions
_LAST_POSITION: Final = 16_383
_MOST_POSITIONS: Final = 255  # of one lexeme


@dataclass(frozen=True, slots=True)
class SearchableMessage:
    """A message as it is indexed. ``metadata`` is JSON text, and may be None unless ``role`` is `function`.

    ``owner`` and ``context_type`` are the conversation's. ``position`` is the place in the feed, below 1 for messages
    that are older than the feed.
    """

    content: str
    role: str
    metadata: str | None
    owner: str | None
    context_type: str
    position: int


def tsvector(message: SearchableMessage) -> str:
    """Return the tsvector of ``message`` in its text form, such as `':ruser' 'nha':1 'si':2`.

    Send it as text, and let SQL cast it: `$1::text::tsvector`, or `unnest($1::text[])` and a cast of each. The cast
    cannot fail: lexemes are quoted, hold no quote and no backslash, and keep the limits of the type.
    """
    facts = [
        role_lexeme(message.role),
        context_lexeme(message.context_type),
        near_lexeme(message.position // NEAR),
        far_lexeme(message.position // FAR),
    ]
    if message.owner is not None:
        facts.append(owner_lexeme(message.owner))
    lexemes = (
        f"'{lexeme}':{','.join(map(str, positions))}" if positions else f"'{lexeme}'"
        for lexeme, positions in _lexemes(message).items()
    )
    return " ".join([*map("'{}'".format, facts), *lexemes])


def owner_lexeme(owner: str) -> str:
    """Return the lexeme of messages in conversations of ``owner``: a digest, because an owner's name may be long."""
    return f":o{blake2b(owner.encode(), digest_size=8).hexdigest()}"


def context_lexeme(context_type: str) -> str:
    """Return the lexeme of messages in conversations of ``context_type``."""
    return f":c{context_type}"


def role_lexeme(role: str) -> str:
    """Return the lexeme of messages of ``role``."""
    return f":r{role}"


def near_lexeme(number: int) -> str:
    """Return the lexeme of messages with positions from ``number * NEAR`` (inclusive), `NEAR` of them."""
    return f":n{number}"


def far_lexeme(number: int) -> str:
    """Return the lexeme of messages with positions from ``number * FAR`` (inclusive), `FAR` of them."""
    return f":f{number}"


def _lexemes(message: SearchableMessage) -> dict[str, list[int]]:
    """Return the words of ``message`` with their positions, as far as the limits allow."""
    found: dict[str, list[int]] = {}
    size = begun = 0
    for text in searchable_texts(message.role, message.content, message.metadata):
        position = begun
        for word in words(fold(text)):
            position = begun + word.position
            positions = found.get(word.text)
            if positions is None:
                size += len(word.text.encode()) + _OVERHEAD
                if size > _MOST_BYTES:
                    return found
                positions = found[word.text] = []
            if len(positions) < _MOST_POSITIONS and position <= _LAST_POSITION:
                size += 2
                positions.append(position)
        begun = position
    return found


def searchable_texts(role: str, content: str, metadata: str | None) -> Iterator[str]:
    """Yield the texts of a message that are searched, ``content`` first.

    Of a function message these are the strings and numbers of the JSON that it holds, because programs write letters
    with accents as escapes, and the function's name and arguments in ``metadata``, JSON text or None.
    """
    if role != Role.FUNCTION:
        yield content
        return
    yield from _strings(_parsed(content))
    described = _parsed(metadata or "{}")
    if isinstance(described, dict):
        yield from _strings(described.get("name"))
        arguments = described.get("arguments")
        yield from _strings(_parsed(arguments) if isinstance(arguments, str) else arguments)


def _parsed(text: str) -> Any:
    """Return the object or array that ``text`` is as JSON, or ``text``."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return orjson.loads(text)
        except ValueError:
            pass
    return text


def _strings(value: Any) -> Iterator[str]:
    """Yield the names, strings and numbers of a JSON value, in order; without recursion, because it may be deep."""
    pending = [value]
    while pending:
        match pending.pop():
            case str(text):
                yield text
            case None | bool():
                pass
            case list(items):
                pending += reversed(items)
            case dict(fields):
                pending += reversed([part for field in fields.items() for part in field])
            case number:
                yield str(number)
