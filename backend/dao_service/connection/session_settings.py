"""On what terms PostgreSQL works for us: how long anything may take, and that committed means on disk.

A connection of our own is told once, when it is opened. Behind a pooler a connection changes hands with every
transaction: what one client sets, the next would find, and what a client says when it connects, PgBouncer refuses. So
there each transaction is told, in words that end with it.
"""

from dataclasses import dataclass, replace
from typing import Final

# Whatever the operator chose for the rest of the database: a 2xx here means on disk. Stronger is left alone.
_ON_DISK: Final = """set_config('synchronous_commit', CASE setting WHEN 'off' THEN 'on' ELSE setting END, {local})
    FROM current_setting('synchronous_commit') AS setting"""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """``statement`` is how many seconds one may take; ``pooled`` that a pooler lends the connections."""

    statement: float
    pooled: bool

    def unpooled(self) -> "SessionSettings":
        """Return the same for a connection of our own."""
        return replace(self, pooled=False)

    def at_login(self, *, lock: float) -> dict[str, str]:
        """Return what is said while connecting; a pooler understands some of it and keeps that for each client."""
        known = {"application_name": "verbatim", "timezone": "UTC", "datestyle": "ISO"}
        if self.pooled:
            return known
        # Under another level a lock's new holder would look into the past.
        return known | self._patience(lock) | {"default_transaction_isolation": "read committed"}

    def of_connection(self, *, read_only: bool) -> str | None:
        """Return what is said to a connection once it is there.

        Not while connecting: a driver that looks for the primary takes a read-only session for a standby.
        """
        if self.pooled:
            return None
        mode = "on" if read_only else "off"
        return f"SELECT set_config('default_transaction_read_only', '{mode}', false), {_ON_DISK.format(local='false')}"

    def of_transaction(self, *, lock: float) -> str | None:
        """Return what is said in each transaction, after it was begun as READ COMMITTED, and READ ONLY or not."""
        if not self.pooled:
            return None
        patience = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in self._patience(lock).items())
        return f"SELECT {patience}, {_ON_DISK.format(local='true')}"

    def _patience(self, lock: float) -> dict[str, str]:
        return {
            "statement_timeout": _milliseconds(self.statement),
            "lock_timeout": _milliseconds(lock),
            "idle_in_transaction_session_timeout": _milliseconds(self.statement * 2),
        }


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
