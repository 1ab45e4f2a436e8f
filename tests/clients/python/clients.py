"""Both clients behind one interface, so that one suite says what each of them does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, closing
from math import inf
from typing import Any, Final

from verbatim_record.async_client import AsyncClient
from verbatim_record.client import Client
from verbatim_record.retries import Retries

KINDS: Final = ("sync", "async")
SOON: Final = Retries(backoff=0.001, longest=0.001)
Use = Callable[[Any], Any]


class AnyClient:
    """A client of either kind."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client: Any = client
        self._blocks = isinstance(client, Client)

    async def call(self, use: Use) -> Any:
        """Return what ``use`` makes of the client; the blocking one is used in a thread."""
        return await (asyncio.to_thread(use, self.client) if self._blocks else use(self.client))

    async def take(self, use: Use, most: float = inf, found: list[Any] | None = None) -> list[Any]:
        """Return the items, ``most`` at most, of the iterator that ``use`` makes of the client; ``found`` gets each."""
        found = [] if found is None else found
        if self._blocks:
            await asyncio.to_thread(_take, use, self.client, most, found)
            return found
        items: Any = aiter(use(self.client))
        async with aclosing(items):
            async for item in items:
                found.append(item)
                if len(found) == most:
                    break
        return found


def _take(use: Use, client: Client, most: float, found: list[Any]) -> None:
    items: Any = iter(use(client))
    with closing(items):
        for item in items:
            found.append(item)
            if len(found) == most:
                break


@asynccontextmanager
async def opened(kind: str, address: str, *, token: Any = None, **options: Any) -> AsyncIterator[AnyClient]:
    """Give a client of ``kind`` for the service at ``address``, which waits shortly before it tries again."""
    options = {"retries": SOON} | options
    if kind == "sync":
        with Client(address, token, **options) as client:
            yield AnyClient(client)
    else:
        async with AsyncClient(address, token, **options) as client:
            yield AnyClient(client)
