"""Replaying recorded event streams into a running service, as often as it takes.

A file holds one dialogue a line: `{"dialogue_id": …, "events": [Deepgram's events]}`, compressed or not. Every id is
derived, before the message is sent, as `identity` says; so a repetition, of a request or of the whole replay, changes
nothing, and whatever was left unanswered is simply sent again.

The order of the source is kept by three facts. A message of a batch goes on record only behind those before it in the
batch and its conversation, though a batch may take several commits. The next batch leaves only when every message of
the one before has its final answer. And a batch that arrives late, after its sender gave it up and sent it again, finds
all its messages on record, or puts the same ones on record in the same order. So whatever is cut, and wherever, the
record holds a beginning of the dialogue (less what was refused for good), and what follows is stamped later by the one
clock of the database. Every answer is held against that: a message that does not stand behind its predecessors, because
a clock was set back or because it was refused once and then mended, is counted as misplaced.
"""

import asyncio
from pathlib import Path

import httpx
from pydantic import SecretStr

from backend.errors import SetupError
from backend.http_client import http_client, service_url
from backend.replay.sender import Sender
from backend.replay.source import Source
from backend.replay.tally import Tally
from backend.replay.watch import Watch

__all__ = ["Tally", "replay"]


async def replay(  # noqa: PLR0913 -- what to send, where to, as whom, and how hard to try
    path: Path,
    url: str,
    *,
    token: str | None = None,
    concurrency: int,
    patience: float,
    proxy: SecretStr | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Tally:
    """Put the dialogues in ``path`` on record at the service at ``url``, ``concurrency`` of them at a time.

    Goes on through whatever passes, and ends early when ``patience`` seconds have gone by without an answer.
    ``token`` is shown to the service, which is reached through ``proxy`` unless it is on this machine; ``transport``
    stands in for the network. Raises SetupError when there is nothing to read or nowhere to send it.
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
