"""A whole conversation, written for a program (JSON, JSON Lines) or for a person (text, Markdown)."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

import orjson
from pydantic import BaseModel

from backend.schemas.message import Message


class TranscriptFormat(StrEnum):
    """How a transcript is written."""

    JSON = "json"
    JSONL = "jsonl"
    TEXT = "text"
    MARKDOWN = "markdown"


class Transcript(BaseModel):
    """A whole conversation in spoken order."""

    conversation_id: UUID
    messages: list[Message]


MEDIA_TYPES: Final = {
    TranscriptFormat.JSON: "application/json",
    TranscriptFormat.JSONL: "application/jsonl",
    TranscriptFormat.TEXT: "text/plain",
    TranscriptFormat.MARKDOWN: "text/markdown",
}

Part = Sequence[str]

# ASCII punctuation is what Markdown may take for markup, and what a backslash makes plain (CommonMark 2.4).
_MARKUP: Final = re.compile(r"([!-/:-@\[-`{-~])")


async def write(
    form: TranscriptFormat, conversation_id: UUID, first: Part, rest: AsyncIterator[Part]
) -> AsyncIterator[bytes]:
    """Yield the transcript in pieces, a piece for each part of the conversation; messages come as JSON texts."""
    style = _STYLES[form]
    yield style.head.format(conversation_id).encode() + style.between.join(map(style.write, first))
    async for part in rest:
        yield b"".join(style.between + style.write(message) for message in part)
    yield style.tail


@dataclass(frozen=True, slots=True)
class _Style:
    write: Callable[[str], bytes]
    head: str = ""
    between: bytes = b""
    tail: bytes = b""


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
    TranscriptFormat.JSON: _Style(str.encode, '{{"conversation_id":"{}","messages":[', b",", b"]}"),
    TranscriptFormat.JSONL: _Style(_jsonl),
    TranscriptFormat.TEXT: _Style(_text),
    TranscriptFormat.MARKDOWN: _Style(_markdown, "# Conversation {}\n"),
}
