"""The bell: it wakes whoever waits for a conversation to go on.

A ring is a hint, and the rows are the fact. Whoever waits clears the bell, looks, and only then waits: what is recorded
while it looks rings again. A ring that is lost makes a reader slower, never wrong, since it also looks by itself.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

MOST_UNTOLD: Final = 10_000  # conversations that are kept for the notifier


class Bell:
    """Rings for conversations in this process, and keeps those for the notifier to tell other processes of.

    At most MOST_UNTOLD are kept, because there may be no notifier, or no connection for it. If there are more, all are
    forgotten and `overflowed` says so: other processes are then to look at everything.
    """

    def __init__(self) -> None:
        self.untold: set[UUID] = set()  # rung here, and not told to other processes yet
        self.overflowed = False
        self.news = asyncio.Event()  # that there are such
        self.closed = False
        self._waiting: defaultdict[UUID | None, set[asyncio.Event]] = defaultdict(set)

    def ring(self, conversation_ids: Collection[UUID]) -> None:
        """Wake who waits for one of these conversations, here and in other processes; after the commit."""
        if not self.overflowed:
            self.untold.update(conversation_ids)
        if len(self.untold) > MOST_UNTOLD:
            self.untold.clear()
            self.overflowed = True
        self.news.set()
        self.echo(conversation_ids)

    def take_untold(self) -> list[UUID] | None:
        """Return the conversations that other processes are to be told of, and keep none; None stands for all."""
        untold = None if self.overflowed else [*self.untold]
        self.untold.clear()
        self.overflowed = False
        return untold

    def echo(self, conversation_ids: Collection[UUID]) -> None:
        """Wake who waits here, because another process has rung."""
        if not self._waiting:
            return
        for key in (None, *conversation_ids):
            for event in self._waiting.get(key, ()):
                event.set()

    def ring_all(self) -> None:
        """Wake everybody here, because nobody knows what was missed."""
        for events in self._waiting.values():
            for event in events:
                event.set()

    def close(self) -> None:
        """Ring for the last time: the service stops, and nobody is to wait any longer."""
        self.closed = True
        self.ring_all()

    @contextmanager
    def waiting(
        self, conversation_id: UUID | None = None, event: asyncio.Event | None = None
    ) -> Iterator[asyncio.Event]:
        """Give an event that is set when the conversation goes on; None stands for any conversation."""
        event = event or asyncio.Event()
        self._waiting[conversation_id].add(event)
        try:
            yield event
        finally:
            self._waiting[conversation_id].discard(event)
            if not self._waiting[conversation_id]:
                del self._waiting[conversation_id]
