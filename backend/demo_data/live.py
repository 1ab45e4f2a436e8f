"""Makes one call now, as fast as people speak, so that the console has a call to follow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from backend.dao_service.connection.database import Database
from backend.dao_service.wakeups.listen_notify import Notifier
from backend.demo_data.call import Begin, Call, Forward, Wish
from backend.demo_data.calls import plan_call
from backend.demo_data.playing import playing
from backend.schemas.voice_session import Receipt, VoiceSessionEnd
from verbatim_record.ids import new_id

_MESSAGES: Final = 1_000  # an hour


def plan_live(seed: int, opened_at: datetime) -> Call:
    """Return a call that begins at ``opened_at``; ``seed`` decides what is said, and its ids are new."""
    return plan_call(Wish(f"live {new_id()}", "vi", messages=_MESSAGES), seed, opened_at, opened_at)


async def play_live(database: Database, call: Call, ended: asyncio.Event) -> Receipt:
    """Record each event of a call when its time comes, until ``ended``; then end its session, and return the receipt.

    Followers of a service on the same database hear it. Raises RecordError if something is refused.
    """
    [begin] = [step for step in call.steps if isinstance(step, Begin)]
    [forward] = [step for step in call.steps if isinstance(step, Forward)]
    sent = 0
    async with _notifying(database), playing(database) as player:
        await player.open(call)
        await player.take(call, begin)
        for event in forward.events:
            if await _is_set_before(ended, event[1]):
                break
            await player.take(call, Forward(forward.session_id, [event]))
            sent += 1
        facts = VoiceSessionEnd(reason="hangup", last_client_sequence=sent)
        return await player.end(call, forward.session_id, facts)


@asynccontextmanager
async def _notifying(database: Database) -> AsyncIterator[None]:
    notifier = Notifier(database)
    notifier.start()
    try:
        yield
    finally:
        await notifier.close()


async def _is_set_before(event: asyncio.Event, moment: datetime) -> bool:
    """Wait until ``event`` is set, at most until ``moment``, and return whether it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout((moment - datetime.now(UTC)).total_seconds()):
            await event.wait()
    return event.is_set()
