"""Our service with the database left out: what its route could do at best.

Everything is the real thing (middleware, log line, metrics, parsing, rendering, the collector's settings) but for the
appender, which answers at once that everything is on record.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from unittest.mock import patch

import orjson

from backend import app, cli
from backend.dao_service.append_dao import NewMessage
from backend.principal import Principal
from backend.schemas.message import MessageCreate
from backend.services.append_transaction import Outcome, Recorded, new_message
from backend.services.appender import Appender
from backend.vocabulary import Scope


class Forgetful(Appender):
    """Says that it is on record, and has kept nothing."""

    def start(self) -> None:
        """There is nothing to start."""

    async def close(self) -> None:
        """There is nothing to finish."""

    async def append(self, principal: Principal, messages: Sequence[MessageCreate]) -> list[Outcome]:
        owner = principal.owner(Scope.MESSAGES_WRITE)
        return [self._recorded(new_message(message, owner)) for message in messages]

    @staticmethod
    def _recorded(message: NewMessage) -> Recorded:
        now = datetime.now(UTC)
        document = {name: value for name, value in message._asdict().items() if name != "owner"} | {
            "sequence": 1,
            "metadata": orjson.Fragment(message.metadata),
            "timestamp": message.timestamp or now,
            "created_at": now,
        }
        return Recorded(message, 1, orjson.dumps(document, option=orjson.OPT_UTC_Z), replayed=False)


if __name__ == "__main__":
    with patch.object(app, "AppendLanes", Forgetful):  # the lifespan asks for one
        cli.main()
