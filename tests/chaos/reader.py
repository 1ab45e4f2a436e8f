"""A reader: it notes whatever it is given, in the order in which it is given it, and resumes from its last place.

    python -m tests.chaos.reader pages|live|feed PLAN JOURNAL

On its standard input comes, at last, how many messages each conversation has; when it has seen that far, it ends. One
that is killed and started again finds its place in its own journal.
"""

import asyncio
import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx

from tests.chaos.answers import is_problem
from tests.chaos.journal import Journal, read
from tests.chaos.plan import Plan
from tests.chaos.stopping import standard_input

SILENCE: Final = 20.0  # seconds, more than the service is ever silent on a stream
TIMEOUT: Final = 6.0
PAUSE: Final = 0.5  # seconds between two looks at the end of the record, and before a reader comes back
FOLLOWED: Final = 8  # conversations that one reader listens to at once


class Reader:
    """What the three kinds have in common: where they are, and what they were given."""

    def __init__(self, plan: Plan, kind: str, path: Path, http: httpx.AsyncClient) -> None:
        self.plan = plan
        self.http = http
        self.conversations = plan.conversations
        self.seen: defaultdict[str, int] = defaultdict(int)
        self.cursors: dict[str, str] = {}
        self._progress = asyncio.Event()
        for line in read(path):
            if line["what"] == "read":
                self._take(line["items"], line["of"], line["cursor"])
        if kind == "live":
            self.conversations = self.conversations[:FOLLOWED]
        self._journal = Journal(path)
        self._journal.note("plan", conversations=self.conversations)
        self._dice = Random(f"{plan.seed} reader {kind}")

    def door(self) -> str:
        return self._dice.choice(self.plan.doors)

    def note(self, messages: list[dict[str, Any]], of: str, cursor: str | None = None) -> None:
        """Note what was given; in the same line, whence to go on."""
        items = [[each["conversation_id"], each["sequence"], each["id"]] for each in messages]
        if items or cursor:
            self._journal.note("read", of=of, items=items, cursor=cursor)
            self._take(items, of, cursor)

    def trouble(self, error: object) -> None:
        self._journal.note("trouble", error=str(error) or type(error).__name__)

    def refused(self, answer: httpx.Response) -> None:
        """Note that nothing was given; it must say so in a problem document."""
        try:
            odd = not is_problem(answer.json(), answer.status_code)
        except ValueError:
            odd = True
        self._journal.note("refused", status=answer.status_code, odd=odd)

    def _take(self, items: list[list[Any]], of: str, cursor: str | None) -> None:
        for conversation, sequence, _ in items:
            self.seen[conversation] = max(self.seen[conversation], sequence)
        if cursor:
            self.cursors[of] = cursor
        self._progress.set()

    async def until_all_is_seen(self) -> None:
        counts: dict[str, int] = json.loads(await (await standard_input()).readline() or b"{}")
        while any(self.seen[conversation] < counts.get(conversation, 0) for conversation in self.conversations):
            self._progress.clear()
            await self._progress.wait()
        self._journal.note("done")


async def pages(reader: Reader) -> None:
    """Read each conversation's pages in recorded order, over and over, going on with the cursor."""
    for conversation in itertools.cycle(reader.conversations):
        query = {"order": "recorded", "limit": "200"}  # a hostile client makes conversations of 40,000
        if conversation in reader.cursors:
            query["cursor"] = reader.cursors[conversation]
        try:
            page = await _page(reader, f"/conversations/{conversation}/messages", query)
        except httpx.HTTPError as error:
            reader.trouble(error)
            await asyncio.sleep(PAUSE)
            continue
        if page is not None:
            reader.note(page["data"], conversation, page["next_cursor"] if page["data"] else None)
        await asyncio.sleep(PAUSE / len(reader.conversations))


async def feed(reader: Reader) -> None:
    """Read everything that anybody says, page by page, waiting where there is nothing yet."""
    while True:
        query = {"limit": "100", "wait": "2"} | ({"cursor": reader.cursors["feed"]} if reader.cursors else {})
        try:
            page = await _page(reader, "/messages/feed", query)
        except httpx.HTTPError as error:
            reader.trouble(error)
            page = None
        if page is None:
            await asyncio.sleep(PAUSE)
        else:
            reader.note(page["data"], "feed", page["next_cursor"] if page["data"] else None)


async def live(reader: Reader) -> None:
    """Listen to some of the conversations, coming back whenever a stream ends."""
    async with asyncio.TaskGroup() as group:
        for conversation in reader.conversations:
            group.create_task(_follow(reader, conversation))


async def _follow(reader: Reader, conversation: str) -> None:
    while True:
        headers = {"accept": "text/event-stream", "last-event-id": str(reader.seen[conversation])}
        url = f"{reader.door()}/conversations/{conversation}/live"
        try:
            async with reader.http.stream("GET", url, headers=headers, timeout=SILENCE) as answer:
                if not answer.is_success:
                    await answer.aread()
                    reader.refused(answer)
                    continue
                async for line in answer.aiter_lines():
                    for message in _messages(line):
                        reader.note([message], conversation)
        except httpx.HTTPError as error:
            reader.trouble(error)
        finally:
            await asyncio.sleep(PAUSE)


def _messages(line: str) -> Iterator[dict[str, Any]]:
    name, _, value = line.partition(": ")
    if name == "data" and "sequence" in (data := json.loads(value)):
        yield data


async def _page(reader: Reader, path: str, query: dict[str, str]) -> Any:
    answer = await reader.http.get(reader.door() + path, params=query)
    if answer.is_success:
        return answer.json()
    reader.refused(answer)
    return None


async def _main(kind: str, plan: Path, journal: Path) -> None:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=TIMEOUT, limits=limits) as http:
        reader = Reader(Plan.load(plan), kind, journal, http)
        reading = asyncio.create_task({"pages": pages, "feed": feed, "live": live}[kind](reader))
        seeing = asyncio.create_task(reader.until_all_is_seen())
        done, _ = await asyncio.wait({reading, seeing}, return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        for task in done:
            task.result()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
