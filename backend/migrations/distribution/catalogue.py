"""What the catalogues of PostgreSQL and Citus say of a database: read once, into immutable values.

Citus has its own catalogue in tables: `pg_dist_node` (the nodes), `pg_dist_local_group` (which of them this is) and
`citus_tables` (which tables are spread, and how).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import asyncpg

# Of this database's own: what Verbatim made, and the host's goals and tasks.
SPREAD: Final = ("conversations", "messages", "voice_sessions", "voice_events", "erasures")
REFERENCES: Final = (
    "goals",
    "tasks",
    "service_tokens",
    "conversation_holds",
    "audit_entries",
    "verbatim_alembic_version",
)
_OWN: Final = (*SPREAD, *REFERENCES, "voice_session_ids", "deliveries", "stopped_orchestrators")
_LOCAL: Final = ("message_words", "message_words_b", "search_progress")
# Triggers that would look for rows on each node which are elsewhere, by their table. The service does without them.
OF_ONE_SERVER: Final[Mapping[str, str]] = {
    "verbatim_list_session": "voice_sessions",
    "verbatim_name_conversation": "voice_events",
    "verbatim_forget_intents": "conversations",
    "verbatim_keep_held": "conversations",
}

# Each with the value that it must have on every node, and why.
SETTINGS: Final[Mapping[str, tuple[str, str]]] = {
    "citus.enable_unsafe_triggers": ("on", "a message that another program inserts would take no place in the record"),
    "citus.override_table_visibility": ("off", "each new connection to a worker would take a second"),
}

_SCHEMA: Final = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'messages'::regclass"
_TIES: Final = """
    SELECT conrelid::regclass::text, conname, confrelid::regclass::text FROM pg_constraint
    WHERE contype = 'f' AND confrelid = ANY ($1::regclass[]) AND conrelid <> ALL ($2::regclass[])
    UNION ALL
    SELECT conrelid::regclass::text, conname, confrelid::regclass::text FROM pg_constraint
    WHERE contype = 'f' AND conrelid = ANY ($1::regclass[]) AND confrelid <> ALL ($2::regclass[])
    ORDER BY 1, 2
"""
_KINDS: Final = "SELECT table_name::text, citus_table_type FROM citus_tables"
_UNIQUE: Final = """
    SELECT i.indrelid::regclass::text, i.indexrelid::regclass::text FROM pg_index AS i
    WHERE i.indisunique AND i.indrelid = ANY ($1::regclass[]) AND NOT EXISTS (
        SELECT FROM pg_attribute AS a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
            AND a.attname = CASE i.indrelid WHEN 'conversations'::regclass THEN 'id' ELSE 'conversation_id' END
    ) ORDER BY 1, 2
"""
_OF_ONE_SERVER: Final = """
    SELECT tgname FROM pg_trigger WHERE tgname = ANY ($1) AND tgrelid = ANY ($2::regclass[]) ORDER BY 1
"""
_TRIGGERS: Final = """
    SELECT tgrelid::regclass::text, tgname FROM pg_trigger
    WHERE NOT tgisinternal AND tgname NOT LIKE 'verbatim\\_%' AND tgrelid = ANY ($1::regclass[]) ORDER BY 1, 2
"""


class Tie(NamedTuple):
    """A foreign key between a table of the record and one of the host's."""

    table: str
    name: str
    refers_to: str


class OnTable(NamedTuple):
    """An index or a trigger of a table."""

    table: str
    name: str


class Mistaken(NamedTuple):
    """A setting that differs from what it must be, and the nodes on which it does."""

    setting: str
    nodes: Sequence[int]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The state of a database that is to be distributed, or is.

    ``group`` is the number of this node, 0 for the coordinator and None without Citus. ``kinds`` gives how Citus has
    placed each table. ``of_one_server`` are those triggers that a cluster must not have.
    """

    schema: str  # of the tables, quoted
    group: int | None
    workers: int
    mistaken: Sequence[Mistaken]
    ties: Sequence[Tie]
    unique: Sequence[OnTable]
    triggers: Sequence[OnTable]
    of_one_server: Sequence[str]
    kinds: Mapping[str, str]
    messages: int  # PostgreSQL's estimate, 0 if it has none

    @property
    def is_distributed(self) -> bool:
        """Whether the messages are spread over the nodes."""
        return self.kinds.get("messages") == "distributed"


async def read(connection: asyncpg.Connection) -> Catalogue:
    """Return the state of the database of ``connection``; changes nothing."""
    has_citus = await connection.fetchval("SELECT to_regclass('pg_dist_node') IS NOT NULL")
    group, workers = None, 0
    kinds: dict[str, str] = {}
    mistaken: list[Mistaken] = []
    if has_citus:
        group = await connection.fetchval("SELECT groupid FROM pg_dist_local_group")
        workers = await connection.fetchval(
            "SELECT count(*) FROM pg_dist_node WHERE shouldhaveshards AND isactive AND noderole = 'primary'"
        )
        mistaken = [each async for each in _mistaken(connection)]
        kinds = {row[0]: row[1] for row in await connection.fetch(_KINDS)}
    return Catalogue(
        await connection.fetchval(_SCHEMA),
        group,
        workers,
        mistaken,
        [Tie(*row) for row in await connection.fetch(_TIES, [*_OWN], [*_OWN, *_LOCAL])],
        [OnTable(*row) for row in await connection.fetch(_UNIQUE, ["conversations", "messages"])],
        [OnTable(*row) for row in await connection.fetch(_TRIGGERS, ["conversations", "messages", "goals", "tasks"])],
        [row[0] for row in await connection.fetch(_OF_ONE_SERVER, [*OF_ONE_SERVER], [*OF_ONE_SERVER.values()])],
        kinds,
        max(0, await connection.fetchval("SELECT reltuples::bigint FROM pg_class WHERE oid = 'messages'::regclass")),
    )


async def _mistaken(connection: asyncpg.Connection) -> AsyncIterator[Mistaken]:
    for setting, (wanted, _) in SETTINGS.items():
        rows = await connection.fetch("SELECT nodeid, result FROM run_command_on_all_nodes($1)", f"SHOW {setting}")
        if nodes := [row["nodeid"] for row in rows if row["result"] != wanted]:
            yield Mistaken(setting, nodes)
