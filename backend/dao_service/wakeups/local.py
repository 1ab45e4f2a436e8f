"""Wakeups within this process: a reader that waits for a conversation is woken when it has changed.

A wakeup is a hint; the rows are the truth. A reader clears its event, reads, and only then waits, so a change that is
committed while it reads wakes it again. A wakeup that is lost delays a reader and loses nothing, because every reader
also polls.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

MOST_PENDING: Final = 10_000  # conversations that wait for the notifier


class Wakeups:
    """Wakes the readers of this process, and keeps the changed conversations for `listen_notify` to announce.

    At most ``MOST_PENDING`` are kept, because the notifier may be missing or without a connection. Beyond that all are
    dropped and ``overflowed`` is True: other processes then have to read everything they follow.
    """

    def __init__(self) -> None:
        self.pending: set[UUID] = set()  # changed here, and not announced to other processes yet
        self.overflowed = False
        self.announcing = asyncio.Event()  # set while something waits to be announced
        self.closed = False
        self._waiting: defaultdict[UUID | None, set[asyncio.Event]] = defaultdict(set)

    def wake(self, conversation_ids: Collection[UUID]) -> None:
        """Wake the readers of these conversations, here and in other processes. Call it after the commit."""
        if not self.overflowed:
            self.pending.update(conversation_ids)
        if len(self.pending) > MOST_PENDING:
            self.pending.clear()
            self.overflowed = True
        self.announcing.set()
        self.wake_here(conversation_ids)

    def take_pending(self) -> list[UUID] | None:
        """Return the conversations to announce, None for all of them, and forget them."""
        pending = None if self.overflowed else [*self.pending]
        self.pending.clear()
        self.overflowed = False
        return pending

    def wake_here(self, conversation_ids: Collection[UUID]) -> None:
        """Wake the readers of this process, because another process announced these conversations."""
        if not self._waiting:
            return
        for key in (None, *conversation_ids):
            for event in self._waiting.get(key, ()):
                event.set()

    def wake_all(self) -> None:
        """Wake every reader of this process, because announcements may have been missed."""
        for events in self._waiting.values():
            for event in events:
                event.set()

    def close(self) -> None:
        """Wake every reader for the last time: the service stops."""
        self.closed = True
        self.wake_all()

    @contextmanager
    def waiting(
        self, conversation_id: UUID | None = None, event: asyncio.Event | None = None
    ) -> Iterator[asyncio.Event]:
        """Yield an event that is set when the conversation changes; None stands for every conversation.

        A caller that waits for several conversations passes the same ``event`` for each.
        """
        event = event or asyncio.Event()
        self._waiting[conversation_id].add(event)
        try:
            yield event
        finally:
            self._waiting[conversation_id].discard(event)
            if not self._waiting[conversation_id]:
                del self._waiting[conversation_id]
