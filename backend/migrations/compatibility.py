"""Whether a release runs on the schema of a database, and whether a migration would stop a release that is running.

`backend/dao_service/schema_revision.py` explains the two revisions that decide it. This module does not import Alembic,
because every worker imports it, and none migrates.
"""

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dao_service.schema_revision import BASELINE, BEFORE_BASELINE, CONNECTED_REVISION, Stamp
from verbatim_record.setup_error import SetupError

# A commit that has the revisions 0005 to 0024, which no release has.
LAST_BEFORE_0_2_0: Final = "147484166a74d8b18bad40d553d0cdd82437d544"
_OLD_REVISIONS: Final = {f"{number:04}" for number in range(5, int(BEFORE_BASELINE))}

_RUNNING: Final = text(f"""
    SELECT revision, count(*) AS connections, string_agg(pid::text, ', ' ORDER BY pid) AS pids
    FROM pg_stat_activity, {CONNECTED_REVISION} AS revision
    WHERE datname = current_database() AND revision < :compatible_from
    GROUP BY revision ORDER BY revision
""")  # noqa: S608 -- our own constant


def mismatch(stamp: Stamp, code: str) -> str | None:
    """Return why code written for the revision ``code`` cannot run on the schema, and what to do; None if it can."""
    if stamp.runs(code):
        return None
    if stamp.is_ahead_of(code):
        return too_old(stamp, code)
    if stamp.revision in _OLD_REVISIONS:
        return (
            f"The database's schema is at {stamp.revision}, which only checkouts before release 0.2.0 have: run "
            f"`verbatim migrate` of commit {LAST_BEFORE_0_2_0}, which brings it to {BEFORE_BASELINE}, then "
            f"`verbatim migrate` of this version, which knows {BEFORE_BASELINE} as its {BASELINE}."
        )
    return (
        f"The database's schema is at {stamp.revision or 'nothing yet'}, this version needs {code}: run `verbatim "
        "migrate`, or `verbatim adopt` where a host application's tables are."
    )


def too_old(stamp: Stamp, code: str) -> str:
    """Return why code that was written for ``code`` cannot change, or cannot run on, the newer schema of ``stamp``."""
    return (
        f"The database's schema is at {stamp.revision}, and this version of Verbatim knows none after {code}: this "
        "version is too old; install the one that migrated the database."
    )


async def refuse_to_break(connection: AsyncConnection, needed: str) -> None:
    """Raise SetupError if a process is connected whose code is older than the revision ``needed``.

    A process is recognised by the name of its connections. What this cannot see: a process that has no connection at
    the moment; a recorder, or a command of `verbatim`, that connects through a pooler.
    """
    running = (await connection.execute(_RUNNING, {"compatible_from": needed})).all()
    if running:
        found = "; ".join(f"{row.connections} of a release at {row.revision} (processes {row.pids})" for row in running)
        raise SetupError(
            f"Releases before revision {needed} cannot run on the new schema, and are connected: {found}. Nothing was "
            "changed. Stop or upgrade them first, or say --allow-breaking."
        )
