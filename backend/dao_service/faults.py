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
# Serialisation failure, deadlock, and a plan prepared before the table changed: the same work will do, once more.
_TRANSIENT_STATES: Final = {"40001", "40P01", "0A000"}


def cause(error: BaseException) -> BaseException:
    """Return the driver's own exception from under SQLAlchemy's two wrappings."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


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
    original = cause(error)
    state = original.sqlstate if isinstance(original, asyncpg.PostgresError) else None
    return {"error": type(original).__name__, "sqlstate": state, "constraint": constraint(error)}
