"""Transcripts: a whole conversation, streamed in a format for programs or for people.

To add a format, add its name to `TranscriptFormat`, its media type to `MEDIA_TYPES` and its layout to `_LAYOUTS`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Final, Protocol
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from backend.formats.captions import subrip, webvtt
from backend.formats.deepgram import Context
from backend.formats.openai import Chat
from backend.formats.strict_chat import StrictChat
from backend.formats.text import markdown, text
from backend.schemas.message import MessageResponse
from backend.schemas.single_line_json import one_line


class TranscriptFormat(StrEnum):
    """The formats of a transcript."""

    JSON = "json"
    JSONL = "jsonl"
    TEXT = "text"
    MARKDOWN = "markdown"
    VTT = "vtt"
    SRT = "srt"
    OPENAI = "openai"
    DEEPGRAM = "deepgram"


class TranscriptQuery(BaseModel):
    """The query parameters of a transcript."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: TranscriptFormat = TranscriptFormat.JSON
    strict: bool = Field(
        default=False,
        description="For `openai`: the one order that every chat template accepts. Neighbours of one role become one "
        "message, empty texts are left out, and `user` and `assistant` take turns, `user` first.",
    )


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
    TranscriptFormat.SRT: "application/x-subrip",
    TranscriptFormat.OPENAI: "application/json",
    TranscriptFormat.DEEPGRAM: "application/json",
}

CAPTIONS: Final = frozenset({TranscriptFormat.VTT, TranscriptFormat.SRT})

Part = Sequence[bytes]  # messages, each as JSON
_LONG: Final = 2**13  # bytes of a message after which the event loop may do something else


async def write(
    form: TranscriptFormat,
    conversation_id: UUID,
    parts: AsyncGenerator[Part, None],
    *,
    strict: bool = False,
    began: datetime | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the transcript in format ``form``, a piece of bytes for each part of ``parts``, and close ``parts``.

    ``strict`` is the variant of `openai` in `strict_chat`. ``began`` is when the call began, which captions count their
    times from. Only one piece is in memory while a slow client reads it.
    """
    layout = _STRICT_CHAT if strict else _LAYOUTS[form]
    writer = layout.writer(began)
    has_messages = False
    async with aclosing(parts):
        yield layout.head.format(conversation_id).encode()
        async for part in parts:
            written = await (asyncio.to_thread(_all, writer, part) if layout.is_slow else _each(writer, part))
            del part
            if written:
                if has_messages:
                    written.insert(0, b"")
                piece = layout.between.join(written)
                del written
                yield piece
                has_messages = True
    rest = await asyncio.to_thread(writer.finish) if layout.is_slow else writer.finish()
    yield rest + (layout.tail if has_messages else layout.tail_of_nothing or layout.tail)


class _Writer(Protocol):
    """Writes each message, or no bytes for it, and at the end what it has held back."""

    def write(self, document: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


def _all(writer: _Writer, part: Part) -> list[bytes]:
    return [message for document in part if (message := writer.write(document))]


async def _each(writer: _Writer, part: Part) -> list[bytes]:
    written = []
    for document in part:
        if message := writer.write(document):
            written.append(message)
        if len(document) > _LONG:
            await asyncio.sleep(0)  # writing takes about 10 ms a MiB, and other requests wait for it
    return written


class _Stateless:
    """Writes each message independently of the others."""

    def __init__(self, write_one: Callable[[bytes], bytes], _began: datetime | None) -> None:
        self.write = write_one

    def finish(self) -> bytes:
        return b""


@dataclass(frozen=True, slots=True)
class _Layout:
    """The bytes of a format around its messages; ``tail_of_nothing`` replaces ``tail`` if there are no messages.

    ``is_slow`` marks a format that takes up to a second a MiB (measured), which a thread writes.
    """

    writer: Callable[[datetime | None], _Writer]
    head: str = ""
    between: bytes = b""
    tail: bytes = b""
    tail_of_nothing: bytes = b""
    is_slow: bool = False


def _jsonl(document: bytes) -> bytes:
    return one_line(document) + b"\n"


_LAYOUTS: Final = {
    TranscriptFormat.JSON: _Layout(partial(_Stateless, bytes), '{{"conversation_id":"{}","messages":[', b",", b"]}"),
    TranscriptFormat.JSONL: _Layout(partial(_Stateless, _jsonl)),
    TranscriptFormat.TEXT: _Layout(partial(_Stateless, text)),
    TranscriptFormat.MARKDOWN: _Layout(partial(_Stateless, markdown), "# Conversation {}\n"),
    TranscriptFormat.VTT: _Layout(webvtt, "WEBVTT\n\nNOTE Conversation {}\n", is_slow=True),
    TranscriptFormat.SRT: _Layout(subrip, is_slow=True),
    TranscriptFormat.OPENAI: _Layout(lambda _: Chat(), '{{"messages":[', b",", b"]}"),
    # A merge patch (RFC 7396) for the phone's own Settings; "greeting": null removes the greeting.
    TranscriptFormat.DEEPGRAM: _Layout(
        lambda _: Context(), '{{"agent":{{"context":{{"messages":[', b",", b']},"greeting":null}}', b"]}}}"
    ),
}
# It writes the commas itself, because it continues the text of a message.
_STRICT_CHAT: Final = _Layout(lambda _: StrictChat(), '{{"messages":[', tail=b"]}")
