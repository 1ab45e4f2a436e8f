"""Transcripts: a whole conversation, streamed in a format for programs or for people.

To add a format, add its name to `TranscriptFormat`, its media type to `MEDIA_TYPES` and its layout to `_LAYOUTS`.
"""

import asyncio
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
    """The formats of a transcript."""

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
_LONG: Final = 2**13  # bytes of a message after which the event loop may do something else


async def write(
    form: TranscriptFormat, conversation_id: UUID, parts: AsyncGenerator[Part, None]
) -> AsyncGenerator[bytes, None]:
    """Yield the transcript in format ``form``, a piece of bytes for each part of ``parts``, and close ``parts``.

    Only one piece is in memory while a slow client reads it.
    """
    layout = _LAYOUTS[form]
    writer = layout.writer()
    has_messages = False
    async with aclosing(parts):
        yield layout.head.format(conversation_id).encode()
        async for part in parts:
            written = []
            for document in part:
                if message := writer.write(document):
                    written.append(message)
                if len(document) > _LONG:
                    await asyncio.sleep(0)  # writing takes about 10 ms a MiB, and other requests wait for it
            del part
            if written:
                if has_messages:
                    written.insert(0, b"")
                piece = layout.between.join(written)
                del written
                yield piece
                has_messages = True
    yield writer.finish() + (layout.tail if has_messages else layout.tail_of_nothing or layout.tail)


class _Writer(Protocol):
    """Writes each message, or no bytes for it, and at the end what it has held back."""

    def write(self, document: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class _Stateless:
    """Writes each message independently of the others."""

    def __init__(self, write_one: Callable[[bytes], bytes]) -> None:
        self.write = write_one

    def finish(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The bytes of a format around its messages; ``tail_of_nothing`` replaces ``tail`` if there are no messages."""

    writer: Callable[[], _Writer]
    head: str = ""
    between: bytes = b""
    tail: bytes = b""
    tail_of_nothing: bytes = b""


def _jsonl(document: bytes) -> bytes:
    return one_line(document) + b"\n"


_LAYOUTS: Final = {
    TranscriptFormat.JSON: _Layout(partial(_Stateless, bytes), '{{"conversation_id":"{}","messages":[', b",", b"]}"),
    TranscriptFormat.JSONL: _Layout(partial(_Stateless, _jsonl)),
    TranscriptFormat.TEXT: _Layout(partial(_Stateless, text)),
    TranscriptFormat.MARKDOWN: _Layout(partial(_Stateless, markdown), "# Conversation {}\n"),
    TranscriptFormat.VTT: _Layout(Captions, "WEBVTT\n\nNOTE Conversation {}\n"),
    TranscriptFormat.OPENAI: _Layout(Chat, '{{"messages":[', b",", b"]}"),
    # A merge patch (RFC 7396) for the phone's own Settings; "greeting": null removes the greeting.
    TranscriptFormat.DEEPGRAM: _Layout(
        Context, '{{"agent":{{"context":{{"messages":[', b",", b']},"greeting":null}}', b"]}}}"
    ),
}
