"""Classification of PostgreSQL's errors by SQLSTATE and by the name of a constraint, never by the message's text.

The codes are those of https://www.postgresql.org/docs/current/errcodes-appendix.html. Each function takes an exception
of SQLAlchemy or of asyncpg.
"""

from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError

# The class is the first two characters: connection exceptions, insufficient resources, operator intervention, system
# errors. The single codes: a read-only server after a failover, a transaction that PostgreSQL ended, a commit that no
# standby confirmed.
_OUTAGE_CLASSES: Final = {"08", "53", "57", "58", "F0", "XX"}
_OUTAGE_STATES: Final = {"25006", "25P03", "25P04", "40003"}
# Damaged files, a limit that the operator has set, a statement beyond PostgreSQL's limits: a repetition fails the same
# way.
_LASTING_STATES: Final = {"XX001", "XX002", "53400"}
_LASTING_CLASSES: Final = {"54"}
# A startup parameter that a pooler refuses; a prepared statement that exists already, or is on another connection.
_POOLER_STATES: Final = {"08P01", "42P05", "26000"}
UNNAMED_POOLER: Final = (
    "DATABASE_URL leads to a connection pooler that the settings do not mention: set "
    "VERBATIM_DATABASE_POOLER=pgbouncer, and VERBATIM_DATABASE_DIRECT_URL to the URL of PostgreSQL itself."
)
# Serialisation failure, deadlock, and a plan prepared before the table changed: the same transaction will succeed.
_TRANSIENT_STATES: Final = {"40001", "40P01", "0A000"}

# A table, a column or a function that is not there: the schema is older than the release, or something was dropped.
_SCHEMA_STATES: Final = {"42P01", "42703", "42883"}


def cause(error: BaseException) -> BaseException:
    """Return asyncpg's own exception from inside SQLAlchemy's two wrappers, or ``error`` if there is none."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of ``error``, or None if PostgreSQL did not report it."""
    original = cause(error)
    return original.sqlstate if isinstance(original, asyncpg.PostgresError) else None


def constraint(error: BaseException) -> str | None:
    """Return the name of the constraint that was violated, or None."""
    original = cause(error)
    return original.constraint_name if isinstance(original, asyncpg.IntegrityConstraintViolationError) else None


def missing_column(error: BaseException) -> str | None:
    """Return the name of the NOT NULL column that got no value, or None for any other error."""
    original = cause(error)
    return original.column_name if isinstance(original, asyncpg.NotNullViolationError) else None


def is_invalid_value(error: BaseException) -> bool:
    """Return whether a value does not fit its column's type or range."""
    original = cause(error)
    return isinstance(original, asyncpg.DataError)


def is_outage(error: BaseException) -> bool:
    """Return whether PostgreSQL is unreachable, full, shutting down or too slow, so that a retry may succeed."""
    original = cause(error)
    if isinstance(original, asyncpg.PostgresError):
        state = original.sqlstate or ""
        return state[:2] in _OUTAGE_CLASSES or state in _OUTAGE_STATES
    # A connection that breaks may raise any of these.
    return isinstance(original, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError)


def is_unsupported(error: BaseException) -> bool:
    """Return whether PostgreSQL, or Citus, has no plan for the statement: the tables may have been distributed."""
    return sqlstate(error) == "0A000"


def is_permanent(error: BaseException) -> bool:
    """Return whether the same statement fails again until an operator has repaired the cause."""
    state = sqlstate(error) or ""
    return state in _LASTING_STATES or state[:2] in _LASTING_CLASSES


def is_damage(error: BaseException) -> bool:
    """Return whether PostgreSQL found the file of a table or of an index damaged."""
    return isinstance(cause(error), asyncpg.DataCorruptedError | asyncpg.IndexCorruptedError)


def is_timeout(error: BaseException) -> bool:
    """Return whether `statement_timeout` or an operator cancelled the statement."""
    return isinstance(cause(error), asyncpg.QueryCanceledError)


def is_read_only(error: BaseException) -> bool:
    """Return whether the server takes no writes: a standby, or a primary that was made read-only."""
    return isinstance(cause(error), asyncpg.ReadOnlySQLTransactionError | asyncpg.TargetServerAttributeNotMatched)


def suggests_unnamed_pooler(error: BaseException) -> bool:
    """Return whether the error is typical of a connection pooler that the settings do not mention."""
    return sqlstate(error) in _POOLER_STATES


def is_disk_full(error: BaseException) -> bool:
    """Return whether the disk of PostgreSQL's server is full."""
    return isinstance(cause(error), asyncpg.DiskFullError)


def is_unanswered_timeout(error: BaseException) -> bool:
    """Return whether PostgreSQL did not answer within the client's time-out, not even with an error."""
    return isinstance(cause(error), TimeoutError)


def is_transient(error: BaseException) -> bool:
    """Return whether the same transaction is likely to succeed if it is run again at once."""
    original = cause(error)
    return isinstance(original, asyncpg.PostgresError) and original.sqlstate in _TRANSIENT_STATES


def suggests_outdated_schema(error: BaseException) -> bool:
    """Return whether the schema lacks what a statement names, which a migration may add."""
    return sqlstate(error) in _SCHEMA_STATES


def is_locked(error: BaseException) -> bool:
    """Return whether another transaction held a lock for longer than `lock_timeout`."""
    return isinstance(cause(error), asyncpg.LockNotAvailableError)


def describe(error: BaseException) -> dict[str, str | None]:
    """Return the log fields for ``error``: type, SQLSTATE, constraint; no message, since it may quote rows."""
    return {"error": type(cause(error)).__name__, "sqlstate": sqlstate(error), "constraint": constraint(error)}
