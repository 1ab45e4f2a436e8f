"""Replay: sends recorded event streams to a running service, with retries.

A file holds one dialogue per line, `{"dialogue_id": …, "events": [Deepgram's events]}`, compressed or not. Every id is
derived before a message is sent (`identity`), so a repetition of a request or of the whole replay changes nothing, and
messages without an answer are sent again.

Three facts keep the order of the source. Within a batch, messages of a conversation are recorded in order, even if the
batch takes several commits. The next batch is sent only when every message of the previous one has its final answer.
And a batch that arrives late, after the sender has given it up and sent it again, finds all its messages on record, or
records the same ones in the same order. So whatever connection breaks, the record holds a beginning of the dialogue
(without refused messages), and later messages get later times from the database's clock. Every answer is checked
against that. A message that is not behind its predecessors, because a clock was set back or because it was refused
earlier and then corrected, is counted as misplaced.
"""

import asyncio
from pathlib import Path

import httpx
from pydantic import SecretStr

from backend.http_client import http_client
from backend.replay.sender import Sender
from backend.replay.source import Source
from backend.replay.tally import Tally
from backend.replay.watch import Watch
from verbatim_record.http_client import service_url
from verbatim_record.setup_error import SetupError

__all__ = ["Tally", "replay"]


async def replay(  # noqa: PLR0913 -- each is an option of the command
    path: Path,
    url: str,
    *,
    token: str | None = None,
    concurrency: int,
    patience: float,
    proxy: SecretStr | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Tally:
    """Send the dialogues in ``path`` to the service at ``url``, ``concurrency`` at a time, and return the counts.

    Temporary failures are retried; the replay ends early after ``patience`` seconds without an answer. ``token`` is the
    bearer token. Requests go through ``proxy`` unless the service is on this machine; ``transport`` replaces the
    network in tests. Raises SetupError if the file cannot be read or ``url`` is not an HTTP address.
    """
    address = service_url(url, "--url")
    tally = Tally()
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(30, connect=5)
    with Source(path, tally) as source, Watch(source, tally) as watch:
        async with http_client(
            address,
            proxy=proxy,
            base_url=address,
            headers=headers,
            limits=limits,
            timeout=timeout,
            transport=transport,
        ) as client:
            sender = Sender(client, tally, watch, patience)
            dialogues = source.dialogues(watch.say)
            try:
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(concurrency):
                        tasks.create_task(sender.send_all(dialogues))
            except* SetupError as errors:
                tally.trouble = str(errors.exceptions[0])
    return tally
