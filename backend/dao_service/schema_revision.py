"""Whether code and schema fit together, by two revisions that the database keeps.

Each release is written for one revision, ``SCHEMA_REVISION``. The database keeps the revision that it was migrated to,
and ``compatible_from``: the lowest revision whose code runs on its schema. So a release runs on its own schema, and on
a newer one as long as that is compatible. The processes of two releases can then share a database while an upgrade is
rolled out, and code can be rolled back without rolling back the schema. Synapse has the same two numbers
(https://element-hq.github.io/synapse/latest/development/database_schema.html).

A revision that only adds (*expand*) leaves ``compatible_from`` as it is. A revision that takes away what older code
still uses (*contract*) raises it, by a line in its file; `alembic/env.py` writes it in the transaction that sets the
revision, as the comment on `verbatim_alembic_version`.
"""

from typing import Final, NamedTuple

from sqlalchemy import TextClause, text

SCHEMA_REVISION: Final = "0122"  # the newest revision of `alembic/versions`, which the models are written for

VERSION_TABLE: Final = "verbatim_alembic_version"
BASELINE: Final = "0109"  # the last revision of release 0.2.0
BEFORE_BASELINE: Final = "0024"  # the same schema, as checkouts before release 0.2.0 stamped it
_COMPATIBLE: Final = "Compatible with releases from revision "

# SQL of a row of pg_stat_activity: the revision in its `application_name`, or NULL if the connection is not ours.
CONNECTED_REVISION: Final = r"substring(application_name FROM 'verbatim \(schema ([0-9]+)\)')"

READ_STAMP: Final[TextClause] = text(f"""
    SELECT CASE version_num WHEN '{BEFORE_BASELINE}' THEN '{BASELINE}' ELSE version_num END,
           substring(obj_description(to_regclass('{VERSION_TABLE}'), 'pg_class') FROM '{_COMPATIBLE}([0-9]+)')
    FROM {VERSION_TABLE}
""")  # noqa: S608 -- our own names


class Stamp(NamedTuple):
    """What a database says of its schema: ``revision`` is None before the first.

    Without ``compatible_from`` the schema is compatible with no revision but its own.
    """

    revision: str | None = None
    compatible_from: str | None = None

    def is_ahead_of(self, code: str) -> bool:
        """Tell whether the schema is newer than the revision ``code``."""
        return self.revision is not None and self.revision > code

    def runs(self, code: str) -> bool:
        """Tell whether code that was written for the revision ``code`` runs on the schema."""
        if self.is_ahead_of(code):
            return self.compatible_from is not None and self.compatible_from <= code
        return self.revision == code


def comment(compatible_from: str | None) -> str:
    """Return the statement that keeps ``compatible_from`` in the database."""
    said = "NULL" if compatible_from is None else f"'{_COMPATIBLE}{compatible_from} on.'"
    return f"COMMENT ON TABLE {VERSION_TABLE} IS {said}"


def application_name() -> str:
    """Return the name of a connection of this release, by which `verbatim migrate` and an operator recognise it."""
    return f"verbatim (schema {SCHEMA_REVISION})"
