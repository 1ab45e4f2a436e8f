"""What PostgreSQL's refusals mean to the record.

They are recognised by SQLSTATE and by the *name* of a constraint, never by the words of a message
(https://www.postgresql.org/docs/current/errcodes-appendix.html).
"""

from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError

# Connection exceptions, insufficient resources, operator intervention, system errors. The class is the first two
# characters. And: a read-only server after a failover, a transaction that PostgreSQL ended, an unconfirmed commit.
_OUTAGE_CLASSES: Final = {"08", "53", "57", "58", "F0", "XX"}
_OUTAGE_STATES: Final = {"25006", "25P03", "25P04", "40003"}
# Files that are damaged, a limit that the operator has set, a statement beyond what PostgreSQL can do: however often it
# is asked, the answer is the same.
_LASTING_STATES: Final = {"XX001", "XX002", "53400"}
_LASTING_CLASSES: Final = {"54"}
# A start-up parameter that a pooler refuses; a prepared statement that is there already, or is on another connection.
_POOLER_STATES: Final = {"08P01", "42P05", "26000"}
UNNAMED_POOLER: Final = (
    "DATABASE_URL leads to a pooler that is not named: set VERBATIM_DATABASE_POOLER=pgbouncer, and "
    "VERBATIM_DATABASE_DIRECT_URL to the database without the pooler."
)
# Serialisation failure, deadlock, and a plan prepared before the table changed: the same work will do, once more.
_TRANSIENT_STATES: Final = {"40001", "40P01", "0A000"}


def cause(error: BaseException) -> BaseException:
    """Return the driver's own exception from under SQLAlchemy's two wrappings."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def sqlstate(error: BaseException) -> str | None:
    """Return PostgreSQL's code for what went wrong, None if the fault is not PostgreSQL's."""
    original = cause(error)
    return original.sqlstate if isinstance(original, asyncpg.PostgresError) else None


def constraint(error: BaseException) -> str | None:
    """Return the name of the constraint that refused, if one did."""
    original = cause(error)
    return original.constraint_name if isinstance(original, asyncpg.IntegrityConstraintViolationError) else None


def missing_column(error: BaseException) -> str | None:
    """Return the column that wants a value and has none, if that is what went wrong."""
    original = cause(error)
    return original.column_name if isinstance(original, asyncpg.NotNullViolationError) else None


def is_unfit_value(error: BaseException) -> bool:
    """Tell whether a value is none of its column's type, or beyond what that holds."""
    original = cause(error)
    return isinstance(original, asyncpg.DataError)


def is_outage(error: BaseException) -> bool:
    """Tell whether the database is away, full, shutting down or too slow, which is nobody's fault but its own."""
    original = cause(error)
    if isinstance(original, asyncpg.PostgresError):
        state = original.sqlstate or ""
        return state[:2] in _OUTAGE_CLASSES or state in _OUTAGE_STATES
    # A dying connection may raise any of these.
    return isinstance(original, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError)


def is_lasting(error: BaseException) -> bool:
    """Tell whether the same statement will fail in the same way, until an operator has done something."""
    state = sqlstate(error) or ""
    return state in _LASTING_STATES or state[:2] in _LASTING_CLASSES


def is_damage(error: BaseException) -> bool:
    """Tell whether PostgreSQL found a table's or an index's file damaged."""
    return isinstance(cause(error), asyncpg.DataCorruptedError | asyncpg.IndexCorruptedError)


def is_timeout(error: BaseException) -> bool:
    """Tell whether a statement was ended because it took too long, or by an operator."""
    return isinstance(cause(error), asyncpg.QueryCanceledError)


def is_read_only(error: BaseException) -> bool:
    """Tell whether the server takes no writes: a standby, or a primary that was made read-only."""
    return isinstance(cause(error), asyncpg.ReadOnlySQLTransactionError | asyncpg.TargetServerAttributeNotMatched)


def is_of_a_pooler(error: BaseException) -> bool:
    """Tell whether it looks as if a pooler lent connections that we take for our own."""
    return sqlstate(error) in _POOLER_STATES


def is_disk_full(error: BaseException) -> bool:
    """Tell whether the disk of PostgreSQL's server has no room for what was to be written."""
    return isinstance(cause(error), asyncpg.DiskFullError)


def is_silence(error: BaseException) -> bool:
    """Tell whether PostgreSQL said nothing at all, not even that it refuses."""
    return isinstance(cause(error), TimeoutError)


def is_transient(error: BaseException) -> bool:
    """Tell whether the same transaction may well succeed if it is run again at once."""
    original = cause(error)
    return isinstance(original, asyncpg.PostgresError) and original.sqlstate in _TRANSIENT_STATES


def is_locked(error: BaseException) -> bool:
    """Tell whether somebody else held a lock for longer than we wait."""
    return isinstance(cause(error), asyncpg.LockNotAvailableError)


def describe(error: BaseException) -> dict[str, str | None]:
    """Return what may be logged of ``error``: its kind, never its words, since PostgreSQL quotes whole rows."""
    return {"error": type(cause(error)).__name__, "sqlstate": sqlstate(error), "constraint": constraint(error)}
