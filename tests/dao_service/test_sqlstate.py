import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from backend.dao_service.connection.sqlstate import describe, is_outage, is_transient


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError("x"),
        asyncpg.CannotConnectNowError("x"),
        asyncpg.AdminShutdownError("x"),
        asyncpg.CrashShutdownError("x"),
        asyncpg.DiskFullError("x"),
        asyncpg.TooManyConnectionsError("x"),
        asyncpg.QueryCanceledError("x"),
        asyncpg.ReadOnlySQLTransactionError("x"),
        asyncpg.InterfaceError("x"),
        asyncpg.InternalClientError("x"),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_outage_is_known_through_whatever_wraps_it(error: Exception) -> None:
    assert is_outage(error)
    wrapped = Exception("x")
    wrapped.__cause__ = error
    assert is_outage(DBAPIError("SELECT", {}, wrapped))


@pytest.mark.parametrize(
    "kind", [asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.InvalidCachedStatementError]
)
def test_what_may_succeed_at_once_is_no_outage(kind: type[asyncpg.PostgresError]) -> None:
    assert is_transient(kind("x"))
    assert not is_outage(kind("x"))


@pytest.mark.parametrize("kind", [asyncpg.CheckViolationError, asyncpg.UndefinedTableError, asyncpg.DataError])
def test_a_fault_of_ours_is_neither_and_keeps_its_words_to_itself(kind: type[asyncpg.PostgresError]) -> None:
    error = kind("Failing row contains (what was said)")
    assert not is_outage(error)
    assert not is_transient(error)
    assert "said" not in str(describe(error))
