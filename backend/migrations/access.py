"""How a migration reaches the database, what it stores of its schema, and what an operator is told if that fails.

Without Alembic, which takes 0.1 s to import: every command reads the revision, and few migrate.
"""

import asyncio
from functools import partial
from typing import Final

import asyncpg
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from backend.dao_service.connection import multihost
from backend.dao_service.connection.database import asyncpg_url, open_connection
from backend.dao_service.connection.sqlstate import UNNAMED_POOLER, cause, suggests_unnamed_pooler
from backend.dao_service.schema_dao import SchemaDAO
from backend.dao_service.schema_revision import Stamp
from verbatim_record.setup_error import SetupError

# A time-out that is set for the role or the database would end a long step. Not every version has all of these.
WITHOUT_TIME_LIMITS: Final = """
    SELECT set_config(name, '0', false) FROM pg_settings
    WHERE name IN ('statement_timeout', 'transaction_timeout',
                   'idle_in_transaction_session_timeout', 'idle_session_timeout')
"""


def stamp(url: str) -> Stamp:
    """Return the revision that the database stores, and with which releases it is compatible."""
    return asyncio.run(_stamp(asyncpg_url(url)))


async def _stamp(url: URL) -> Stamp:
    try:
        async with AsyncSession(connectable(url)) as session:
            return await SchemaDAO(session).stamp()
    except (DBAPIError, OSError) as error:
        raise SetupError(sentence(error, url)) from error


def connectable(url: URL) -> AsyncEngine:
    """Return an engine without a pool, whose connections are named `verbatim migrate` in pg_stat_activity."""
    creator = partial(open_connection, url, timeout=10, server_settings={"application_name": "verbatim migrate"})
    return create_async_engine(url, poolclass=NullPool, async_creator=creator, hide_parameters=True)


def sentence(error: DBAPIError | OSError, url: URL) -> str:
    """Return what the operator has to change. PostgreSQL's DETAIL is left out, because it quotes rows."""
    place = f"{multihost.host_names(url)}, database {url.database or url.username}"
    if isinstance(cause(error), asyncpg.TargetServerAttributeNotMatched):
        return (
            f"PostgreSQL at {place} is a standby and takes no writes; name the primary, or all hosts, in DATABASE_URL."
        )
    if isinstance(error, OSError):
        return f"PostgreSQL at {place} does not answer; check DATABASE_URL and that the server is up."
    if suggests_unnamed_pooler(error):
        return UNNAMED_POOLER
    code = getattr(error.orig, "sqlstate", None) or ""
    message = getattr(getattr(error.orig, "__cause__", None), "message", None) or type(error.orig).__name__
    match code:
        case "VB001":  # a migration's own refusal
            said = str(message)
        case "28P01" | "28000":
            said = f"PostgreSQL at {place} lets no {url.username or 'such user'} in: {message}; check DATABASE_URL."
        case "3D000":
            said = f"PostgreSQL at {place}: {message}; create it first, or name another in DATABASE_URL."
        case "42501":
            said = (
                f"The user {url.username} may not do what a migration needs: {message}; "
                "use the tables' owner, with the right to create in their schema."
            )
        case "23514":
            said = f"Rows that are there already break a rule: {message}; `verbatim adopt` counts them."
        case _ if code[:2] in {"", "08"} or code in {"57P01", "57P02", "57P03"}:
            said = f"PostgreSQL at {place} broke the connection off: {message}; run the same again when it is up."
        case _:
            said = f"PostgreSQL stopped the migration ({code}): {message}; what is done stays done."
    return said
