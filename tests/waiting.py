"""Waiting for a state that no signal announces: one of PostgreSQL's, or one that another thread brings about."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import asyncpg

PATIENCE: Final = 60.0  # seconds, far more than anything takes: other work may keep the machine busy
PAUSE: Final = 0.005  # seconds between two looks, in which others may work


async def until(condition: Callable[[], object]) -> None:
    """Return as soon as ``condition`` holds; after `PATIENCE` raise `TimeoutError`."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(PAUSE)


async def until_found(connection: asyncpg.Connection, question: str) -> Any:
    """Return PostgreSQL's answer as soon as it is true; after `PATIENCE` raise `TimeoutError`."""
    async with asyncio.timeout(PATIENCE):
        while not (answer := await connection.fetchval(question)):
            await asyncio.sleep(PAUSE)
    return answer
