"""The structure of a host's tables, read once from PostgreSQL's catalogue into immutable values."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dao_service.schema_revision import VERSION_TABLE


@dataclass(frozen=True, slots=True)
class HostColumn:
    """A column of the host; ``required`` means NOT NULL."""

    name: str
    type: str
    required: bool
    has_default: bool


@dataclass(frozen=True, slots=True)
class HostConstraint:
    """A constraint as PostgreSQL prints it. ``columns`` are those of its own table; ``expression`` is for a CHECK."""

    name: str
    kind: str
    columns: tuple[str, ...]
    definition: str
    expression: str | None
    valid: bool

    @property
    def words(self) -> set[str]:
        """The string literals in the constraint's definition."""
        return set(re.findall(r"'((?:[^']|'')*)'", self.definition))


@dataclass(frozen=True, slots=True)
class HostIndex:
    """An index; an interrupted CREATE INDEX CONCURRENTLY leaves an invalid one.

    ``columns`` is empty for an index on expressions; ``predicate`` is the condition of a partial index.
    """

    name: str
    valid: bool
    unique: bool
    columns: tuple[str, ...]
    predicate: str | None


@dataclass(frozen=True, slots=True)
class HostTable:
    """A table of the host; ``rows`` is PostgreSQL's estimate, -1 if it has none yet.

    ``open`` means that this role may alter the table or, for goals and tasks, refer to it.
    """

    name: str
    ordinary: bool
    open: bool
    rows: int
    columns: tuple[HostColumn, ...]
    constraints: tuple[HostConstraint, ...]
    indexes: tuple[HostIndex, ...]
    triggers: tuple[str, ...]
    update_triggers: tuple[str, ...]
    secured: bool  # row-level security applies to roles that do not own the table
    forced: bool  # and to its owner

    @property
    def about(self) -> str:
        """The number of rows as text for an operator."""
        return f"about {self.rows:,}" if self.rows >= 0 else "PostgreSQL has not estimated their number yet"

    def column(self, name: str) -> HostColumn | None:
        """Return the column ``name``, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def constraint(self, name: str) -> HostConstraint | None:
        """Return the constraint ``name``, or None."""
        return next((constraint for constraint in self.constraints if constraint.name == name), None)


async def read_server(connection: AsyncConnection) -> Any:
    """Return a row with the server's version and role, and the privileges of that role."""
    return (await connection.execute(text(_SERVER), {"version_table": VERSION_TABLE})).one()


async def read_tables(connection: AsyncConnection) -> dict[str, HostTable]:
    """Return the four tables by name, each after the tables that it refers to; a missing table has no columns."""
    return {row.name: _table(row.name, row.description or {}) for row in await connection.execute(text(_TABLES))}


async def read_made(connection: AsyncConnection, names: Sequence[str]) -> dict[str, bool]:
    """Return, by name, whether Verbatim made the table, for each of ``names`` that exists."""
    return {row.name: row.made for row in await connection.execute(text(_MADE), {"names": [*names]})}


def _table(name: str, description: Mapping[str, Any]) -> HostTable:
    def parts(kind: str) -> list[Any]:
        return description.get(kind) or []

    return HostTable(
        name=name,
        ordinary=description.get("ordinary", False),
        open=description.get("open", False),
        rows=int(description.get("rows", 0)),
        columns=tuple(HostColumn(**part) for part in parts("columns")),
        constraints=tuple(
            HostConstraint(**{**part, "columns": tuple(part["columns"])}) for part in parts("constraints")
        ),
        indexes=tuple(HostIndex(**{**part, "columns": tuple(part["columns"])}) for part in parts("indexes")),
        triggers=tuple(parts("triggers")),
        update_triggers=tuple(parts("update_triggers")),
        secured=description.get("secured", False),
        forced=description.get("forced", False),
    )


_SERVER: Final = """
    SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int / 10000 AS major,
           current_schema() AS schema, current_user AS role, pg_is_in_recovery() AS standby,
           has_schema_privilege(current_schema(), 'CREATE') AS may_create,
           to_regclass(:version_table) IS NOT NULL AS stamped,
           quote_ident(current_schema()) AS quoted_schema, to_regclass('alembic_version') IS NOT NULL AS has_alembic,
           has_parameter_privilege('session_replication_role', 'SET') AS leaves_triggers_out,
           (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) AS sees_all
"""

_MADE: Final = """
    SELECT name, coalesce(obj_description(to_regclass(name), 'pg_class') = 'Made by Verbatim.', false) AS made
    FROM unnest(CAST(:names AS text[])) AS name WHERE to_regclass(name) IS NOT NULL
"""

_TABLES: Final = """
    SELECT wanted.name, CASE WHEN t.oid IS NOT NULL THEN jsonb_build_object(
        'ordinary', t.relkind = 'r' AND NOT t.relispartition,
        'open', pg_has_role(t.relowner, 'USAGE')
                OR wanted.name IN ('goals', 'tasks') AND has_table_privilege(t.oid, 'REFERENCES'),
        'rows', t.reltuples,
        'columns', (
            SELECT jsonb_agg(jsonb_build_object(
                'name', attname, 'type', format_type(atttypid, atttypmod), 'required', attnotnull,
                'has_default', atthasdef OR attidentity <> ''
            ) ORDER BY attnum)
            FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped
        ),
        'constraints', (
            SELECT jsonb_agg(jsonb_build_object(
                'name', conname, 'kind', contype, 'definition', pg_get_constraintdef(c.oid), 'valid', convalidated,
                'expression', pg_get_expr(conbin, conrelid),
                'columns', (
                    SELECT coalesce(jsonb_agg(attname ORDER BY place), '[]')
                    FROM unnest(conkey) WITH ORDINALITY AS k (number, place)
                    JOIN pg_attribute ON attrelid = conrelid AND attnum = number
                )
            ) ORDER BY conname)
            FROM pg_constraint AS c WHERE conrelid = t.oid AND contype IN ('p', 'u', 'f', 'c')
        ),
        'indexes', (
            SELECT jsonb_agg(jsonb_build_object(
                'name', relname, 'valid', indisvalid, 'unique', indisunique,
                'predicate', pg_get_expr(indpred, indrelid),
                'columns', (
                    SELECT coalesce(jsonb_agg(attname ORDER BY attnum), '[]')
                    FROM pg_attribute WHERE attrelid = indrelid AND indexprs IS NULL AND attnum = ANY (indkey)
                )
            ) ORDER BY relname)
            FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = t.oid
        ),
        'secured', t.relrowsecurity, 'forced', t.relrowsecurity AND t.relforcerowsecurity,
        'triggers', (
            SELECT jsonb_agg(tgname ORDER BY tgname) FROM pg_trigger
            WHERE tgrelid = t.oid AND NOT tgisinternal AND tgenabled IN ('O', 'A')
        ),
        'update_triggers', (  -- those that fire for every column, and so for Verbatim's
            SELECT jsonb_agg(tgname ORDER BY tgname) FROM pg_trigger
            WHERE tgrelid = t.oid AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgtype & 16 > 0
                AND tgattr::text = ''
        )
    ) END AS description
    FROM unnest(ARRAY['goals', 'tasks', 'conversations', 'messages']) WITH ORDINALITY AS wanted (name, place)
    LEFT JOIN pg_class AS t ON t.oid = to_regclass(wanted.name)
    ORDER BY place
"""
