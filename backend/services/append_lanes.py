"""The appender of a worker process, with a lane for each part of a cluster; a single server is one part, and one lane.

Each lane is an `Appender` with a queue and a connection of its own. So a part whose node is away, or slow, delays no
message of another part. Within a lane senders are served in turn, as on a single server. What waits is bounded for each
sender and in all over the lanes together. A lane takes at most half of either bound, so that the messages of one part
that is away leave room for those of the others.

The messages of a request are recorded by the lanes of their parts, each in a commit of its own. If a part is away, its
messages are Unavailable, and those of the others are stored.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from backend.dao_service.connection.database import Database
from backend.dao_service.placement import Placement
from backend.errors import Busy, Unavailable
from backend.principal import Principal
from backend.schemas.message import MessageCreate
from backend.services.append_queue import MAX_BYTES, MAX_BYTES_PER_SUBJECT
from backend.services.append_transaction import Outcome
from backend.services.appender import Appender

_MOST_LANES: Final = 64  # each holds a connection; with more parts, some share a lane


class AppendLanes(Appender):
    """Records messages as `Appender` does. It is itself the lane of the first part, and of a single server."""

    def __init__(self, database: Database) -> None:
        self._placement = Placement()
        super().__init__(database, self._placement)
        self._database = database
        self._others: dict[int, Appender] = {}

    async def close(self) -> None:
        """Close all lanes, as `Appender.close` does."""
        await asyncio.gather(super().close(), *(lane.close() for lane in self._others.values()))

    @property
    def full(self) -> bool:
        """Whether the lanes together have reached the bound in bytes, so that no message of any part is taken."""
        return sum(lane.waiting(None)[1] for lane in self._lanes) >= MAX_BYTES

    @property
    def running(self) -> bool:
        """Whether messages are accepted in every lane."""
        return super().running and all(lane.running for lane in self._others.values())

    async def append(self, principal: Principal, messages: Sequence[MessageCreate]) -> list[Outcome]:
        """Record messages, and return the outcome of each, in order, as `Appender.append` does.

        The outcome of a message of a part that is away is Unavailable. Raises Unavailable if all are of such parts.
        """
        if not self._placement.is_cluster:
            return await super().append(principal, messages)
        self._refuse_too_much(principal.subject)
        shares = await self._shares(messages)
        if len(shares) == 1:
            [lane] = shares
            return await self._append(lane, principal, messages)
        found = await asyncio.gather(
            *(self._append(lane, principal, [messages[place] for place in places]) for lane, places in shares.items()),
            return_exceptions=True,
        )
        return _merged([*shares.values()], found)

    @property
    def _lanes(self) -> list[Appender]:
        return [self, *self._others.values()]

    def _refuse_too_much(self, subject: str | None) -> None:
        """Raise Busy if the lanes together hold as much as a single one may."""
        held = [lane.waiting(subject) for lane in self._lanes]
        if sum(own for own, _ in held) >= MAX_BYTES_PER_SUBJECT:
            raise Busy("Too many messages of this sender are waiting to be stored")
        if sum(size for _, size in held) >= MAX_BYTES:
            raise Busy("Too many messages are waiting to be stored")

    async def _shares(self, messages: Sequence[MessageCreate]) -> dict[int, list[int]]:
        """Return the places of the messages of each lane."""
        wanted = {message.conversation_id for message in messages}
        if strange := [each for each in wanted if self._placement.of(each) is None]:
            async with self._database.driver_connection() as connection:
                await self._placement.look_up(connection, strange)
        shares: defaultdict[int, list[int]] = defaultdict(list)
        for place, message in enumerate(messages):
            shares[(self._placement.of(message.conversation_id) or 0) % _MOST_LANES].append(place)
        return shares

    async def _append(self, lane: int, principal: Principal, messages: Sequence[MessageCreate]) -> list[Outcome]:
        chosen = self if lane == 0 else self._other(lane)
        own, size = chosen.waiting(principal.subject)
        if own >= MAX_BYTES_PER_SUBJECT // 2 or size >= MAX_BYTES // 2:
            raise Busy("Too many messages are waiting for the same part of the record")
        return await Appender.append(chosen, principal, messages)

    def _other(self, lane: int) -> Appender:
        """Return the lane, which is opened at first use; raises Busy if that is after `close`."""
        if lane not in self._others:
            if self._closing:
                raise Busy("The service is stopping")
            self._others[lane] = Appender(self._database, self._placement)
            self._others[lane].start()
        return self._others[lane]


def _merged(shares: Sequence[Sequence[int]], found: Sequence[list[Outcome] | BaseException]) -> list[Outcome]:
    """Return the outcomes of all ``shares`` in the order of their places; raises what is no Unavailable."""
    outcomes: dict[int, Outcome] = {}
    refusals: list[Unavailable] = []
    for places, part in zip(shares, found, strict=True):
        if isinstance(part, Unavailable):
            outcomes |= dict.fromkeys(places, part)
            refusals.append(part)
        elif isinstance(part, BaseException):
            raise part
        else:
            outcomes |= zip(places, part, strict=True)
    if len(refusals) == len(shares):
        raise refusals[0]
    return [outcomes[place] for place in sorted(outcomes)]
