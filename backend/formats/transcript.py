"""A whole conversation, written for a program (JSON, a model, a player) or for a person (text, Markdown)."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, Protocol
from uuid import UUID

from pydantic import BaseModel

from backend.formats.deepgram import Context
from backend.formats.openai import Chat
from backend.formats.text import markdown, text
from backend.formats.webvtt import Captions
from backend.schemas.message import MessageResponse
from backend.schemas.single_line_json import one_line


class TranscriptFormat(StrEnum):
    """How a transcript is written."""

    JSON = "json"
    JSONL = "jsonl"
    TEXT = "text"
    MARKDOWN = "markdown"
    VTT = "vtt"
    OPENAI = "openai"
    DEEPGRAM = "deepgram"


class Transcript(BaseModel):
    """A whole conversation in spoken order."""

    conversation_id: UUID
    messages: list[MessageResponse]


MEDIA_TYPES: Final = {
    TranscriptFormat.JSON: "application/json",
    TranscriptFormat.JSONL: "application/jsonl",
    TranscriptFormat.TEXT: "text/plain",
    TranscriptFormat.MARKDOWN: "text/markdown",
    TranscriptFormat.VTT: "text/vtt",
    TranscriptFormat.OPENAI: "application/json",
    TranscriptFormat.DEEPGRAM: "application/json",
}

Part = Sequence[bytes]  # messages, each as JSON


async def write(
    form: TranscriptFormat, conversation_id: UUID, parts: AsyncGenerator[Part, None]
) -> AsyncGenerator[bytes, None]:
    """Yield the transcript in pieces, one for each part of the conversation, and close ``parts`` at the end.

    Nothing but the piece is held while its reader takes its time.
    """
    style = _STYLES[form]
    writer = style.writer()
    begun = False
    async with aclosing(parts):
        yield style.head.format(conversation_id).encode()
        async for part in parts:
            written = [message for message in map(writer.write, part) if message]
            del part
            if written:
                if begun:
                    written.insert(0, b"")
                piece = style.between.join(written)
                del written
                yield piece
                begun = True
    yield writer.rest() + (style.tail if begun else style.tail_of_nothing or style.tail)


class _Writer(Protocol):
    """Writes one message after the other, or leaves it out, and at last what it has kept back."""

    def write(self, document: bytes) -> bytes: ...

    def rest(self) -> bytes: ...


class _Each:
    """Writes each message by itself."""

    def __init__(self, write_one: Callable[[bytes], bytes]) -> None:
        self.write = write_one

    def rest(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class _Style:
    """How a form is put together."""

    writer: Callable[[], _Writer]
    head: str = ""
    between: bytes = b""
    tail: bytes = b""
    tail_of_nothing: bytes = b""


def _jsonl(document: bytes) -> bytes:
    return one_line(document) + b"\n"


_STYLES: Final = {
    TranscriptFormat.JSON: _Style(partial(_Each, bytes), '{{"conversation_id":"{}","messages":[', b",", b"]}"),
    TranscriptFormat.JSONL: _Style(partial(_Each, _jsonl)),
    TranscriptFormat.TEXT: _Style(partial(_Each, text)),
    TranscriptFormat.MARKDOWN: _Style(partial(_Each, markdown), "# Conversation {}\n"),
    TranscriptFormat.VTT: _Style(Captions, "WEBVTT\n\nNOTE Conversation {}\n"),
    TranscriptFormat.OPENAI: _Style(Chat, '{{"messages":[', b",", b"]}"),
    # A merge patch (RFC 7396) for the phone's own Settings: whoever goes on with a talk is not greeted again.
    TranscriptFormat.DEEPGRAM: _Style(
        Context, '{{"agent":{{"context":{{"messages":[', b",", b']},"greeting":null}}', b"]}}}"
    ),
}
