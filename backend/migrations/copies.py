"""Copies of a whole database by PostgreSQL's own programs, and the proof that a copy is whole.

A dump sees one snapshot, so the service may go on meanwhile. In the same snapshot a *census* is taken: of each table
the number of rows, and the sum of a 64-bit hash of each row. A restored database must have the same census. It is
restored in one transaction, so a restore that was interrupted has left nothing, and is simply run again.

`pg_restore` begins with a setting that PostgreSQL 15 and 16 do not know, so it prints its script, and `psql` runs that
without the line. The COMMIT is added once the script is known to be whole.
"""

import asyncio
import os
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dao_service.connection.database import asyncpg_url
from backend.dao_service.schema_revision import CONNECTED_REVISION
from backend.embedded_postgres import find_binaries
from backend.migrations.access import WITHOUT_TIME_LIMITS, connectable, sentence
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
_SESSION: Final = ("SET TimeZone = 'UTC'", "SET extra_float_digits = 1", WITHOUT_TIME_LIMITS)
_UNKNOWN: Final = b"SET transaction_timeout = 0;\n"  # to PostgreSQL 15 and 16
_AFTER_UNKNOWN: Final = b"SET client_encoding"
_CHUNK: Final = 2**16  # bytes of a script that are passed on at once


def manifest_of(file: Path) -> Path:
    """Return the file that holds the census of the dump ``file``."""
    return file.with_name(f"{file.name}.json")


def dump(url: str, file: Path) -> Census:
    """Dump the database to ``file``, its census to the file beside it, and return the census.

    Only the user who runs this can read them. They replace those of an earlier dump when both are complete. Raises
    SetupError if the database cannot be read or a file not be written.
    """
    return asyncio.run(_dump(asyncpg_url(url), file))


async def _dump(url: URL, file: Path) -> Census:
    parts = {each: each.with_name(f"{each.name}.part") for each in (manifest_of(file), file)}
    try:
        for part in parts.values():
            part.unlink(missing_ok=True)
            part.touch(mode=0o600, exist_ok=False)
        async with _connected(url) as connection:
            await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
            snapshot = await connection.scalar(text("SELECT pg_export_snapshot()"))
            await _dump_to(parts[file], url, snapshot)
            census = await _census(connection)
        parts[manifest_of(file)].write_bytes(orjson.dumps(census, option=orjson.OPT_INDENT_2))
        for complete, part in parts.items():
            part.replace(complete)
    except (DBAPIError, OSError) as error:
        raise SetupError(sentence(error, url) if isinstance(error, DBAPIError) else str(error)) from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
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
        async with _connected(url) as connection:
            if await _tables(connection):
                raise SetupError("The database is not empty; nothing was restored. Create a new one for it.")
        await _fill(file, url)
        async with _connected(url) as connection:
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
        async with _connected(url) as connection:
            if await connection.scalar(_SERVING):
                raise SetupError(
                    "A service uses this database. Stop it first: phones and recorders keep what they have, and send "
                    "it to the new place."
                )
    except DBAPIError as error:
        raise SetupError(sentence(error, url)) from error


@asynccontextmanager
async def _connected(url: URL) -> AsyncIterator[AsyncConnection]:
    """Yield a connection without time limits, to which a row is the same text on every server."""
    async with connectable(url).connect() as connection:
        async with connection.begin():
            for setting in _SESSION:
                await connection.execute(text(setting))
        yield connection


async def _census(connection: AsyncConnection) -> Census:
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


async def _dump_to(file: Path, url: URL, snapshot: str) -> None:
    options = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={file}"]
    async with _started("pg_dump", url, *options, _libpq(url)) as dumping:
        await _succeed("pg_dump", dumping)


async def _fill(file: Path, url: URL) -> None:
    """Restore ``file`` in one transaction; raises SetupError with what the program says that failed."""
    script = ("--no-owner", "--no-privileges", "--file=-", str(file))
    run = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={_libpq(url)}")
    async with (
        _started("pg_restore", url, *script, stdout=PIPE) as restoring,
        _started("psql", url, *run, stdin=PIPE, stdout=DEVNULL) as filling,
    ):
        assert restoring.stdout  # noqa: S101 -- a pipe
        assert filling.stdin  # noqa: S101 -- a pipe
        with suppress(ConnectionError):  # psql has ended before its script has
            await _pass_on(restoring.stdout, filling.stdin)
            await _succeed("pg_restore", restoring)
            filling.stdin.write(b"COMMIT;\n")
            await filling.stdin.drain()
        filling.stdin.close()
        await _succeed("psql", filling)


async def _pass_on(script: StreamReader, to: StreamWriter) -> None:
    with suppress(IncompleteReadError):  # pg_restore has failed
        head = await script.readuntil(_AFTER_UNKNOWN)
        to.write(f"{WITHOUT_TIME_LIMITS}; BEGIN;\n".encode() + head.replace(_UNKNOWN, b""))
        while chunk := await script.read(_CHUNK):
            to.write(chunk)
            await to.drain()


@asynccontextmanager
async def _started(
    program: str, url: URL, *options: str, stdin: int | None = None, stdout: int | None = None
) -> AsyncIterator[Process]:
    """Start one of PostgreSQL's programs, and yield its process, which ends with the block at the latest."""
    environment = os.environ | ({"PGPASSWORD": str(url.password)} if url.password else {})
    command = str(find_binaries().folder / program)
    process = await asyncio.create_subprocess_exec(
        command, *options, env=environment, stdin=stdin, stdout=stdout, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            # Not `wait`, which waits until the pipes are closed: for ever, if one is full and not read.
            await process.communicate()


async def _succeed(program: str, process: Process) -> None:
    """Wait for the end of ``program``; raises SetupError with what it says if it has failed."""
    assert process.stderr  # noqa: S101 -- a pipe
    said = (await process.stderr.read()).decode(errors="replace")
    if await process.wait():
        # Its messages may quote a row, but never the password, which it has from the environment.
        lines = [line for line in said.splitlines() if "error:" in line.lower() or "FATAL:" in line]
        raise SetupError(f"{program} failed: {lines[0] if lines else process.returncode}")


def _libpq(url: URL) -> str:
    """Return the URL as PostgreSQL's programs take it, without its password, which other users could see."""
    return url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
