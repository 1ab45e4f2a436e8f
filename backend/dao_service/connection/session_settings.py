"""The PostgreSQL settings of the service's sessions: time-outs, isolation, plans, and that committed means on disk.

Without a pooler they are set once for each connection. A pooler in transaction mode (PgBouncer) gives a connection to
another client after every transaction: a setting of the session would reach that client, and PgBouncer refuses unknown
startup parameters. So behind a pooler each transaction sets them for itself (`set_config(…, is_local => true)`).
"""

from dataclasses import dataclass, replace
from typing import Final

from backend.dao_service.schema_revision import application_name

# A 2xx answer means that the message is on disk, so `off` becomes `on`; the operator's stronger values stay.
_ON_DISK: Final = """set_config('synchronous_commit', CASE setting WHEN 'off' THEN 'on' ELSE setting END, {local})
    FROM current_setting('synchronous_commit') AS setting"""
# A page is read in the order of an index, as far as it goes. PostgreSQL takes each conversation for one of average
# length, and with a bitmap would read all of a long one for each page, to sort it. To compile a plan takes longer than
# any of these statements.
_PLANS: Final = {"enable_bitmapscan": "off", "jit": "off"}


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """``statement`` is PostgreSQL's `statement_timeout` in seconds; ``pooled`` means that a pooler is in between."""

    statement: float
    pooled: bool

    def without_pooler(self) -> "SessionSettings":
        """Return the same settings for a connection that bypasses the pooler."""
        return replace(self, pooled=False)

    def startup_parameters(self, *, lock: float) -> dict[str, str]:
        """Return the startup parameters of a connection, whose lock time-out is ``lock`` seconds.

        A pooler gets only the three that PgBouncer tracks for each client. Its connections keep the name of the client
        before, which may run another release, so `application_name` does not name the release there.
        """
        known = {"application_name": "verbatim (pooled)", "timezone": "UTC", "datestyle": "ISO"}
        if self.pooled:
            return known
        # Under REPEATABLE READ a transaction that has waited for a lock would not see the rows of the previous holder.
        unpooled = {"application_name": application_name(), "default_transaction_isolation": "read committed"}
        return known | self._timeouts(lock) | unpooled

    def after_connect(self, *, read_only: bool) -> str | None:
        """Return the statement to run on a new connection, or None behind a pooler.

        `default_transaction_read_only` is not a startup parameter here, because asyncpg, which looks for the primary,
        would take a read-only session for a standby.
        """
        if self.pooled:
            return None
        settings = {"default_transaction_read_only": "on" if read_only else "off"} | _PLANS
        return f"SELECT {_set(settings, local='false')}, {_ON_DISK.format(local='false')}"

    def at_transaction_start(self, *, lock: float) -> str | None:
        """Return the statement to run first in each transaction, or None without a pooler.

        ``lock`` is the lock time-out in seconds. The caller has begun the transaction as READ COMMITTED, and READ ONLY
        or not.
        """
        if not self.pooled:
            return None
        return f"SELECT {_set(self._timeouts(lock) | _PLANS, local='true')}, {_ON_DISK.format(local='true')}"

    def _timeouts(self, lock: float) -> dict[str, str]:
        return {
            "statement_timeout": _milliseconds(self.statement),
            "lock_timeout": _milliseconds(lock),
            "idle_in_transaction_session_timeout": _milliseconds(self.statement * 2),
        }


def _set(settings: dict[str, str], *, local: str) -> str:
    return ", ".join(f"set_config('{name}', '{value}', {local})" for name, value in settings.items())


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
