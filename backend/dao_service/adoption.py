"""What `verbatim adopt` tells an operator before it touches a host's database: what is there, and what will be done.

It only looks: one read-only transaction, no lock that anybody would notice. It asks the catalogue itself, not the
stamp, so that it also sees what was done by hand. Whoever then calls `migrator.upgrade` gets exactly these steps.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.dao_service.database import asyncpg_url
from backend.dao_service.migrator import VERSION_TABLE, connectable, sentence
from backend.errors import SetupError
from backend.vocabulary import ContextType, InputModality, Role

OLDEST_SERVER: Final = 15
_BIG: Final = 1_000_000  # rows, from which on reading a table takes a while
_LONG: Final = 5  # seconds, from which on a transaction may be in the way
_COUNTING: Final = "30s"  # the longest that counting rows may take

_TEXT: Final = "text"
_UUID: Final = "uuid"
_TIME: Final = "timestamp with time zone"
_SEVEN: Final = {
    "voice_session_id": _TEXT,
    "extracted_intent": _TEXT,
    "intent_payload": "jsonb",
    "linked_goal_id": _UUID,
    "linked_task_id": _UUID,
    "ended_at": _TIME,
    "duration_seconds": "integer",
}
_HOST: Final = {"id": _UUID, "context_type": _TEXT, "created_at": _TIME, "updated_at": _TIME}
_SEED: Final = {
    "id": _UUID,
    "conversation_id": _UUID,
    "role": _TEXT,
    "content": _TEXT,
    "input_modality": _TEXT,
    "metadata": "jsonb",
    "created_at": _TIME,
}
_PLACE: Final = {"sequence": "bigint", "timestamp": _TIME, "voice_session_id": _TEXT, "client_sequence": "integer"}
_SHAPES: Final[Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]] = {  # what must be there, what may
    "conversations": (_HOST, {"last_sequence": "bigint", **_SEVEN}),
    "messages": (_SEED, _PLACE),
    "goals": ({"id": _UUID}, {}),
    "tasks": ({"id": _UUID}, {}),
}
_INDEXES: Final = {
    "conversations": ("idx_conversations_newest",),
    "messages": ("idx_messages_conversation", "messages_conversation_id_sequence_key", "idx_messages_spoken"),
}
_TRIGGERS: Final = ("verbatim_take_place", "verbatim_advance_counter")
_RULES: Final = {
    "messages_content_size_check": ("content is longer than 65,536 bytes", "octet_length(content) > 65536"),
    "messages_metadata_object_check": ("metadata is no JSON object", "jsonb_typeof(metadata) <> 'object'"),
    "messages_metadata_size_check": ("metadata is longer than 65,536 bytes", "octet_length(metadata::text) > 65536"),
    "messages_readable_times_check": (
        "created_at lies outside the years 1 to 9999",
        "created_at < '0001-01-02 00:00:00+00' OR created_at >= '9999-12-31 00:00:00+00'",
    ),
}
_CONTEXT_RULE: Final = "conversations_context_type_check"


@dataclass(frozen=True, slots=True)
class HostColumn:
    """A column as it is now."""

    name: str
    type: str
    required: bool
    has_default: bool


@dataclass(frozen=True, slots=True)
class HostConstraint:
    """A constraint as PostgreSQL prints it; ``columns`` are its own table's, ``expression`` is a CHECK's."""

    name: str
    kind: str
    columns: tuple[str, ...]
    definition: str
    expression: str | None
    valid: bool


@dataclass(frozen=True, slots=True)
class HostIndex:
    """An index; an invalid one is what an interrupted CREATE INDEX CONCURRENTLY leaves."""

    name: str
    valid: bool


@dataclass(frozen=True, slots=True)
class HostTable:
    """A table as it is now; ``rows`` is PostgreSQL's estimate, -1 before the first.

    ``open`` means that we may do to it what we have to: change it, or (goals and tasks) refer to it.
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

    @property
    def about(self) -> str:
        return f"about {self.rows:,}" if self.rows >= 0 else "nobody has counted them"

    def column(self, name: str) -> HostColumn | None:
        return next((column for column in self.columns if column.name == name), None)

    def constraint(self, name: str) -> HostConstraint | None:
        return next((constraint for constraint in self.constraints if constraint.name == name), None)


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found. ``steps``, ``warnings`` and ``blockers`` are one sentence each."""

    server_version: str
    schema: str | None
    revision: str | None
    tables: Mapping[str, HostTable]
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    blockers: tuple[str, ...]

    @property
    def adoptable(self) -> bool:
        return not self.blockers

    @property
    def complete(self) -> bool:
        """Everything is there already; at most the stamp is missing."""
        return not self.steps


def survey(url: str) -> Survey:
    """Look at a database, and say what adopting it would mean. Changes nothing."""
    return asyncio.run(_survey(asyncpg_url(url)))


@dataclass(slots=True)
class _Findings:
    steps: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)


async def _survey(url: URL) -> Survey:
    try:
        async with connectable(url).connect() as connection, connection.begin():
            await connection.execute(text("SET TRANSACTION READ ONLY"))
            await connection.execute(text(f"SET LOCAL statement_timeout = '{_COUNTING}'"))
            return await _look(connection)
    except (DBAPIError, OSError) as error:
        raise SetupError(sentence(error, url)) from error


async def _look(connection: AsyncConnection) -> Survey:
    server = (await connection.execute(text(_SERVER), {"version_table": VERSION_TABLE})).one()
    tables = {row.name: _table(row.name, row.description or {}) for row in await connection.execute(text(_TABLES))}
    present = {name: table for name, table in tables.items() if table.columns}
    conversations, messages = tables["conversations"], tables["messages"]
    found = _Findings()
    found.blockers += _unfit(server)
    for table in present.values():
        found.blockers += _strange(table)
    if messages.columns:
        found.blockers += _not_the_seed(messages)
    found.steps += [f"There is no table {name}: will be made, empty." for name in tables if name not in present]
    if conversations.columns:
        _plan_columns(conversations, found)
        _plan_indexes(conversations, found)
        _plan_links(conversations, found)
    if conversations.column("context_type"):
        await _plan_context_type(connection, conversations, found)
    if messages.columns:
        _plan_places(messages, found)
    if all(messages.column(name) for name in _SEED):
        await _count_offenders(connection, messages, found)
    for table in present.values():
        found.warnings += _worries(table)
    found.warnings += [
        f"Process {row.pid} ({row.application_name or 'without a name'}) has been in a transaction for "
        f"{row.seconds} s; while it holds a lock on these tables, nothing can be added to them."
        for row in await connection.execute(text(_OLD_TRANSACTIONS), {"seconds": _LONG})
    ]
    stamp = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608
    return Survey(
        server_version=server.version,
        schema=server.schema,
        revision=await connection.scalar(stamp) if server.stamped else None,
        tables=present,
        steps=tuple(found.steps),
        warnings=tuple(found.warnings),
        blockers=tuple(found.blockers),
    )


def _unfit(server: Any) -> Iterator[str]:
    """Say why no database here can be migrated, whatever is in it."""
    if server.major < OLDEST_SERVER:
        yield f"The server is PostgreSQL {server.version}; {OLDEST_SERVER} is the oldest that Verbatim works with."
    if server.standby:
        yield "The server is a standby and takes no changes; name the primary in DATABASE_URL."
    if server.schema is None:
        yield "No schema of the search_path exists; set the role's search_path to the one that holds the tables."
    elif not server.may_create:
        yield f"The user {server.role} may not create in schema {server.schema}; grant it CREATE there."


def _strange(table: HostTable) -> Iterator[str]:
    """Say what is there in a shape that no added column can mend."""
    if not table.ordinary:
        yield f"{table.name} is not an ordinary table, and triggers, keys and concurrent indexes need one."
    if not table.open:
        yield f"{table.name} belongs to another user; adopt as that one, or for goals and tasks grant REFERENCES."
    if not any(c.kind in {"p", "u"} and c.columns == ("id",) for c in table.constraints):
        yield f"{table.name}.id is neither primary key nor unique, so nothing can refer to it."
    needed, added = _SHAPES[table.name]
    for name, type_ in {**needed, **added}.items():
        column = table.column(name)
        if column is None:
            if name in needed:
                yield f"{table.name} has no {name} ({type_}), which Verbatim reads."
        elif column.type != type_ and not (type_ == _TEXT and column.type.startswith("character varying")):
            yield f"{table.name}.{name} is of type {column.type}; Verbatim needs {type_}."


def _not_the_seed(messages: HostTable) -> Iterator[str]:
    """Say where a table `messages` that is there already differs from the seed's, types apart."""
    if not any(
        c.kind == "f" and c.columns == ("conversation_id",) and c.definition.endswith("ON DELETE CASCADE")
        for c in messages.constraints
    ):
        yield "messages.conversation_id does not refer to conversations(id) ON DELETE CASCADE."
    for column, words in (("role", Role), ("input_modality", InputModality)):
        rule = messages.constraint(f"messages_{column}_check")
        if rule is None or _words(rule.definition) != set(words):
            yield f"messages has no constraint messages_{column}_check that allows exactly {', '.join(words)}."


def _plan_columns(conversations: HostTable, found: _Findings) -> None:
    found.steps += [
        f"conversations lacks {name}: will be added without a default, instant."
        for name in (*_SEVEN, "user_id")
        if not conversations.column(name)
    ]
    if not conversations.column("last_sequence"):
        found.steps.append("conversations lacks last_sequence: will be added with a constant default, instant.")
    filled = {"id", "context_type"}
    found.warnings += [
        f"conversations.{column.name} is NOT NULL and has no default, so POST /conversations cannot make rows; "
        "give it a default, or let the host alone make conversations."
        for column in conversations.columns
        if column.required and not column.has_default and column.name not in filled
    ]


def _plan_links(conversations: HostTable, found: _Findings) -> None:
    for kind in ("goal", "task"):
        name = f"conversations_linked_{kind}_id_fkey"
        keys = [c for c in conversations.constraints if c.kind == "f" and c.columns == (f"linked_{kind}_id",)]
        key = next((c for c in keys if re.search(rf"REFERENCES (\S+\.)?{kind}s\(", c.definition)), None)
        if key is None:
            found.steps.append(
                f"conversations.linked_{kind}_id refers to nothing: {name} will be added, then validated."
            )
            continue
        if key.name != name:
            found.steps.append(f"The foreign key {key.name} will be renamed to {name}, instant.")
        if not key.valid:
            found.steps.append(f"{key.name} is not validated: its rows will be read while writers go on.")
        if " ON " in key.definition:
            found.warnings.append(f"{key.name} has an action of its own ({key.definition}); it stays.")


async def _plan_context_type(connection: AsyncConnection, conversations: HostTable, found: _Findings) -> None:
    allowed = {word.value for word in ContextType}
    lists: list[HostConstraint] = []
    for rule in conversations.constraints:
        if rule.kind != "c" or "context_type" not in rule.columns:
            continue
        if rule.columns != ("context_type",):
            found.warnings.append(
                f"{rule.name} rules context_type together with other columns; see that it allows voice."
            )
            continue
        if await _is_list(connection, rule):
            lists.append(rule)
        elif rule.name == _CONTEXT_RULE:
            found.steps.append(f"{rule.name} is no list of words: will be renamed to {rule.name}_of_host, instant.")
    if [(rule.name, rule.valid, _words(rule.definition)) for rule in lists] != [(_CONTEXT_RULE, True, allowed)]:
        names = ", ".join(rule.name for rule in lists) or "nothing"
        found.steps.append(
            f"context_type is ruled by {names}: {_CONTEXT_RULE} will take that place and allow voice; "
            "a brief lock, then old rows are read while writers go on."
        )
    known = set().union(*(_words(rule.definition) for rule in lists))
    lost = sorted(word for word in known - allowed if word.isidentifier())  # not a pattern
    if lost:
        found.warnings.append(f"The host's rule also allows the context types {', '.join(lost)}; they will be refused.")
    try:
        async with connection.begin_nested():
            rows = await connection.execute(text(_OTHER_TYPES), {"words": sorted(allowed)})
            found.blockers += [
                f"{row.count} conversations are of type {row.context_type!r}, which {_CONTEXT_RULE} refuses; "
                "give them one of its five words first."
                for row in rows
            ]
    except DBAPIError as error:
        _admit_no_count(error, "conversations", found)


async def _is_list(connection: AsyncConnection, rule: HostConstraint) -> bool:
    """Whether it is a list of words: it refuses `voice`, or a word that nobody means (as migration 0004 has it)."""
    probe = (
        f"SELECT bool_or(({rule.expression}) IS FALSE) FROM (VALUES (text 'voice'), ('zyzzyva')) AS p (context_type)"  # noqa: S608
    )
    async with connection.begin_nested() as savepoint:
        try:
            return bool((await connection.exec_driver_sql(probe)).scalar())
        except DBAPIError:  # not text; another sentence says so
            await savepoint.rollback()
            return False


def _plan_places(messages: HostTable, found: _Findings) -> None:
    found.steps += [
        f"messages lacks {name}: will be added without a default, instant."
        for name in _PLACE
        if not messages.column(name)
    ]
    for name in _TRIGGERS:
        if name not in messages.triggers:
            found.steps.append(f"messages has no trigger {name}: will be made; every row then takes its place.")
    if not all((column := messages.column(name)) and column.required for name in ("sequence", "timestamp")):
        if messages.rows:
            found.steps.append(
                f"The messages that are there ({messages.about}) will be numbered by created_at, "
                "one conversation at a time, while writers go on."
            )
        found.steps.append("messages.sequence and timestamp will become NOT NULL, without reading under a lock.")
    _plan_indexes(messages, found)
    for name in (*_RULES, "messages_sequence_check"):
        rule = messages.constraint(name)
        if rule is None or not rule.valid:
            found.steps.append(f"messages lacks the rule {name}: will be added, then validated while writers go on.")


def _plan_indexes(table: HostTable, found: _Findings) -> None:
    valid = {index.name: index.valid for index in table.indexes}
    for name in _INDEXES[table.name]:
        if name not in valid:
            found.steps.append(f"{table.name} has no index {name}: will be built concurrently, while writers go on.")
        elif not valid[name]:
            found.steps.append(f"The index {name} is invalid: will be dropped and built again, concurrently.")


async def _count_offenders(connection: AsyncConnection, messages: HostTable, found: _Findings) -> None:
    """Count the rows that would make a VALIDATE fail, in one reading."""
    missing = {name: rule for name, rule in _RULES.items() if not ((c := messages.constraint(name)) and c.valid)}
    if not missing:
        return
    counts = ", ".join(f"count(*) FILTER (WHERE {condition})" for _, condition in missing.values())
    try:
        async with connection.begin_nested():
            row = (await connection.exec_driver_sql(f"SELECT {counts} FROM messages")).one()  # noqa: S608
    except DBAPIError as error:
        _admit_no_count(error, "messages", found)
        return
    for count, (name, (fault, _)) in zip(row, missing.items(), strict=True):
        if count:
            found.blockers.append(f"In {count} messages {fault}, which {name} refuses; repair or remove them first.")


def _admit_no_count(error: DBAPIError, table: str, found: _Findings) -> None:
    if getattr(error.orig, "sqlstate", None) != "57014":  # query_canceled: the time-out
        raise error
    found.warnings.append(f"The rows of {table} could not be checked within {_COUNTING}; a rule may fail on old rows.")


def _worries(table: HostTable) -> Iterator[str]:
    if table.rows >= _BIG:
        yield f"{table.name} has about {table.rows:,} rows: reading them takes a while, during which writers go on."
    for index in table.indexes:
        if not index.valid and index.name not in _INDEXES.get(table.name, ()):
            yield f"The index {index.name} on {table.name} is invalid; it is the host's, and stays."
    for trigger in table.update_triggers:
        if table.name == "conversations":
            yield f"The trigger {trigger} on conversations will also run whenever a message is recorded."


def _words(definition: str) -> set[str]:
    return set(re.findall(r"'((?:[^']|'')*)'", definition))


def _table(name: str, description: Mapping[str, Any]) -> HostTable:
    """Return the table that PostgreSQL described, or one without columns where there is none."""

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
        indexes=tuple(HostIndex(**part) for part in parts("indexes")),
        triggers=tuple(parts("triggers")),
        update_triggers=tuple(parts("update_triggers")),
    )


_SERVER: Final = """
    SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int / 10000 AS major,
           current_schema() AS schema, current_user AS role, pg_is_in_recovery() AS standby,
           has_schema_privilege(current_schema(), 'CREATE') AS may_create,
           to_regclass(:version_table) IS NOT NULL AS stamped
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
            SELECT jsonb_agg(jsonb_build_object('name', relname, 'valid', indisvalid) ORDER BY relname)
            FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = t.oid
        ),
        'triggers', (
            SELECT jsonb_agg(tgname ORDER BY tgname) FROM pg_trigger WHERE tgrelid = t.oid AND NOT tgisinternal
        ),
        'update_triggers', (  -- those that name no columns: ours is none of theirs
            SELECT jsonb_agg(tgname ORDER BY tgname) FROM pg_trigger
            WHERE tgrelid = t.oid AND NOT tgisinternal AND tgtype & 16 > 0 AND tgattr::text = ''
        )
    ) END AS description
    FROM unnest(ARRAY['goals', 'tasks', 'conversations', 'messages']) WITH ORDINALITY AS wanted (name, place)
    LEFT JOIN pg_class AS t ON t.oid = to_regclass(wanted.name)
    ORDER BY place
"""

_OTHER_TYPES: Final = """
    SELECT context_type, count(*) AS count FROM conversations
    WHERE context_type::text <> ALL (:words) GROUP BY 1 ORDER BY 2 DESC LIMIT 10
"""

_OLD_TRANSACTIONS: Final = """
    SELECT pid, application_name, extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND xact_start < clock_timestamp() - make_interval(secs => :seconds)
    ORDER BY xact_start LIMIT 5
"""
