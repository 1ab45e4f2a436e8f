"""The layer that is there if a replica is configured: it names the position of a write, and directs reads by it.

It is inside of `RequestMiddleware`, because the gate must learn from the primary who may do what.
"""

from contextlib import suppress
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.dao_service.connection.database import Database
from backend.dao_service.connection.replica import EVENTUAL, ReadFrom, read_from
from backend.vocabulary import LARGEST_BIGINT

POSITION: Final = b"verbatim-position"
_READING: Final = frozenset({"GET", "HEAD"})
_LENGTH: Final = 16  # hexadecimal digits of 64 bits, all of them, so that of two positions the greater text is later
_EVENTUAL: Final = b"consistency=eventual"
STREAMS: Final = ("/live", "/feed")  # one reader serves many followers, so it reads for none of them


class ReplicaReads:
    """Adds `verbatim-position` to the answers of writes, and sends reads that allow it to the replica of ``database``.

    A read allows it by a `verbatim-position`, or by `Prefer: consistency=eventual`.
    """

    def __init__(self, app: ASGIApp, *, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["method"] in _READING:
            reset = read_from.set(ReadFrom(_wanted(scope)))
            try:
                await self._app(scope, receive, send)
            finally:
                read_from.reset(reset)
        else:
            await self._app(scope, receive, self._naming(send))

    def _naming(self, send: Send) -> Send:
        async def name(message: Message) -> None:
            if message["type"] == "http.response.start" and (position := self._database.position) is not None:
                message["headers"].append((POSITION, b"%016x" % position))
            await send(message)

        return name


def _wanted(scope: Scope) -> int | None:
    """Return the position that the reads of a request must see, None if they must see every commit.

    A position that this service has not named is ignored.
    """
    if scope["path"].endswith(STREAMS):
        return None
    wanted = None
    for name, value in scope["headers"]:
        if name == POSITION and len(value) == _LENGTH and value.isalnum():
            with suppress(ValueError):
                if (position := int(value, 16)) <= LARGEST_BIGINT:
                    return position
        if name == b"prefer" and value.strip() == _EVENTUAL:
            wanted = EVENTUAL
    return wanted
