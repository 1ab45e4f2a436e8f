"""A whole conversation, written for a program (JSON, JSON Lines, Deepgram) or for a person (text, Markdown)."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

import orjson
from pydantic import BaseModel

from backend.schemas.context import Context
from backend.schemas.message import Message


class TranscriptFormat(StrEnum):
    """How a transcript is written."""

    JSON = "json"
    JSONL = "jsonl"
    TEXT = "text"
    MARKDOWN = "markdown"
    DEEPGRAM = "deepgram"


class Transcript(BaseModel):
    """A whole conversation in spoken order."""

    conversation_id: UUID
    messages: list[Message]


MEDIA_TYPES: Final = {
    TranscriptFormat.JSON: "application/json",
    TranscriptFormat.JSONL: "application/jsonl",
    TranscriptFormat.TEXT: "text/plain",
    TranscriptFormat.MARKDOWN: "text/markdown",
    TranscriptFormat.DEEPGRAM: "application/json",
}

Part = Sequence[str]

# ASCII punctuation is what Markdown may take for markup, and what a backslash makes plain (CommonMark 2.4).
_MARKUP: Final = re.compile(r"([!-/:-@\[-`{-~])")


async def write(
    form: TranscriptFormat, conversation_id: UUID, first: Part, rest: AsyncIterator[Part]
) -> AsyncIterator[bytes]:
    """Yield the transcript in pieces, a piece for each part of the conversation; messages come as JSON texts."""
    style = _STYLES[form]
    write_message = style.start()
    yield style.head.format(conversation_id).encode()
    begun = False
    async for part in _chained(first, rest):
        written = [piece for piece in map(write_message, part) if piece]
        if written:
            yield (style.between if begun else b"") + style.between.join(written)
            begun = True
    yield style.tail if begun else style.tail_of_nothing or style.tail


async def _chained(first: Part, rest: AsyncIterator[Part]) -> AsyncIterator[Part]:
    yield first
    async for part in rest:
        yield part


@dataclass(frozen=True, slots=True)
class _Style:
    """How a form is put together. ``start`` gives what writes one message after the other, or leaves it out."""

    start: Callable[[], Callable[[str], bytes]]
    head: str = ""
    between: bytes = b""
    tail: bytes = b""
    tail_of_nothing: bytes = b""


def _text(document: str) -> bytes:
    message = orjson.loads(document)
    # Only a speaker's line begins at the margin: nobody can say a line that looks like another's.
    said = "\n    ".join(message["content"].splitlines())
    return f"[{_time(message)}] {message['role']}: {said}\n".encode()


def _markdown(document: str) -> bytes:
    message = orjson.loads(document)
    said = "  \n> ".join(_MARKUP.sub(r"\\\1", line) for line in message["content"].splitlines())
    return f"\n**{message['role']}** · {_time(message)}\n\n> {said}\n".encode()


def _jsonl(document: str) -> bytes:
    return document.encode() + b"\n"


def _time(message: dict[str, str]) -> str:
    """Return when it was said, in UTC, to the second."""
    return message["timestamp"][:19].replace("T", " ")


_STYLES: Final = {
    TranscriptFormat.JSON: _Style(lambda: str.encode, '{{"conversation_id":"{}","messages":[', b",", b"]}"),
    TranscriptFormat.JSONL: _Style(lambda: _jsonl),
    TranscriptFormat.TEXT: _Style(lambda: _text),
    TranscriptFormat.MARKDOWN: _Style(lambda: _markdown, "# Conversation {}\n"),
    # A merge patch (RFC 7396) for the phone's own Settings: whoever goes on with a talk is not greeted again.
    TranscriptFormat.DEEPGRAM: _Style(
        lambda: Context().write, '{{"agent":{{"context":{{"messages":[', b",", b']},"greeting":null}}', b"]}}}"
    ),
}
