"""Copies of a whole database by PostgreSQL's own programs, and the proof that a copy is whole.

A dump sees one snapshot, so the service may go on meanwhile. In the same snapshot a *census* is taken: of each table
the number of rows, and the sum of a 64-bit hash of each row. A restored database must have the same census. It is
restored in one transaction, so a restore that was interrupted has left nothing, and is simply run again.
"""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dao_service.connection.database import asyncpg_url
from backend.dao_service.schema_revision import CONNECTED_REVISION
from backend.embedded_postgres import find_binaries
from backend.migrations.access import connectable, sentence
from verbatim_record.setup_error import SetupError

Census = Mapping[str, tuple[int, str]]  # by table, with its schema: the number of rows, and the sum of their hashes

_TABLES: Final = text("""
    SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE relkind = 'r' AND nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%' ORDER BY 1
""")
_SERVING: Final = text(f"""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND {CONNECTED_REVISION} IS NOT NULL
""")  # noqa: S608 -- our own names
_TEXT_OF_ROWS: Final = "SET TimeZone = 'UTC'; SET extra_float_digits = 1; SET statement_timeout = 0"


def manifest_of(file: Path) -> Path:
    """Return the file that holds the census of the dump ``file``."""
    return file.with_name(f"{file.name}.json")


def dump(url: str, file: Path) -> Census:
    """Dump the database to ``file``, its census to the file beside it, and return the census.

    Both are complete or not there. Raises SetupError if the database cannot be read or a file not be written.
    """
    return asyncio.run(_dump(asyncpg_url(url), file))


async def _dump(url: URL, file: Path) -> Census:
    unfinished = file.with_name(f"{file.name}.part")
    try:
        async with connectable(url).connect() as connection:
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            snapshot = await connection.scalar(text("SELECT pg_export_snapshot()"))
            options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
            await _run("pg_dump", url, *options, f"--file={unfinished}")
            census = await _census(connection)
        manifest_of(file).write_bytes(orjson.dumps(census, option=orjson.OPT_INDENT_2))
        unfinished.replace(file)
    except (DBAPIError, OSError) as error:
        raise SetupError(sentence(error, url) if isinstance(error, DBAPIError) else str(error)) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return census


def restore(file: Path, url: str) -> Census:
    """Restore the dump ``file`` into an empty database, compare it with its census, and return that.

    Raises SetupError if the database is not empty, if it cannot be restored, and if it differs.
    """
    try:
        census = {
            table: (rows, hashes) for table, (rows, hashes) in orjson.loads(manifest_of(file).read_bytes()).items()
        }
    except (OSError, ValueError) as error:
        raise SetupError(f"{manifest_of(file)} cannot be read; it was written beside the dump.") from error
    asyncio.run(_restore(file, asyncpg_url(url), census))
    return census


async def _restore(file: Path, url: URL, census: Census) -> None:
    try:
        async with connectable(url).connect() as connection:
            if await _tables(connection):
                raise SetupError("The database is not empty; nothing was restored. Create a new one for it.")
        options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        await _run("pg_restore", url, *options, f"--dbname={_libpq(url)}", str(file), target=True)
        async with connectable(url).connect() as connection:
            if differing := differences(census, await _census(connection)):
                raise SetupError(f"The restored database differs from its backup in {', '.join(differing)}.")
    except DBAPIError as error:
        raise SetupError(sentence(error, url)) from error


def differences(one: Census, other: Census) -> list[str]:
    """Return the names of the tables that differ."""
    return sorted(table for table in one.keys() | other.keys() if one.get(table) != other.get(table))


def check_not_served(url: str) -> None:
    """Raise SetupError if a service is connected to the database: what it records later would not be in a copy."""
    asyncio.run(_check_not_served(asyncpg_url(url)))


async def _check_not_served(url: URL) -> None:
    try:
        async with connectable(url).connect() as connection:
            if await connection.scalar(_SERVING):
                raise SetupError(
                    "A service uses this database. Stop it first: phones and recorders keep what they have, and send "
                    "it to the new place."
                )
    except DBAPIError as error:
        raise SetupError(sentence(error, url)) from error


async def _census(connection: AsyncConnection) -> Census:
    for setting in _TEXT_OF_ROWS.split("; "):
        await connection.execute(text(setting))
    census = {}
    for table in await _tables(connection):
        row = await connection.execute(
            text(f"SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)), 0)::text FROM {table} AS t")  # noqa: S608
        )
        count, hashes = row.one()
        census[table] = (count, hashes)
    return census


async def _tables(connection: AsyncConnection) -> list[str]:
    return [*(await connection.scalars(_TABLES)).all()]


async def _run(program: str, url: URL, *options: str, target: bool = False) -> None:
    """Run one of PostgreSQL's programs; raises SetupError with what it says."""
    command = [str(find_binaries().folder / program), *options, *([] if target else [_libpq(url)])]
    environment = os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {})
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=subprocess.PIPE)
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        raise
    if process.returncode:
        # Its messages may quote a row, but never the password, which it has from the environment.
        lines = [line for line in said.decode(errors="replace").splitlines() if "error:" in line]
        raise SetupError(f"{program} failed: {lines[0] if lines else process.returncode}")


def _libpq(url: URL) -> str:
    """Return the URL as PostgreSQL's programs take it, without its password, which other users could see."""
    return url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
