"""Checks of the database: each fault has a word for programs and a sentence for the operator, with the remedy.

`/readyz` and `verbatim check` run the same checks. First they read PostgreSQL's catalogue. Then they insert a message
with the service's role and roll it back, because only that shows whether a message can be stored. They insert none into
a schema of another revision.

No sentence quotes PostgreSQL's messages, because those quote rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from backend.dao_service.connection.database import Database, Session
from backend.dao_service.connection.sqlstate import (
    UNNAMED_POOLER,
    is_damage,
    is_disk_full,
    is_read_only,
    sqlstate,
    suggests_outdated_schema,
    suggests_unnamed_pooler,
)
from backend.dao_service.insert_check_dao import InsertCheckDAO
from backend.dao_service.privileges import missing_rights
from backend.dao_service.schema_dao import DatabaseState, Durability, NodeState, SchemaDAO
from backend.errors import Busy, RecordError, TooSlow, Unreadable
from backend.migrations import compatibility

_FEED_INDEX: Final = "idx_messages_feed"
_NO_RIGHT: Final = "42501"
_UNKNOWN_NAME: Final = "42"  # the class of SQLSTATEs for a table, a column or a function that does not exist


class Part(StrEnum):
    """The part of the database that has a fault: a member of `checks` in `/readyz`."""

    DATABASE = "database"
    SCHEMA = "schema"
    WRITES = "writes"


@dataclass(frozen=True, slots=True)
class DatabaseFault:
    """A fault: ``word`` is for programs; ``sentence`` tells the operator what is wrong and what to do."""

    part: Part
    word: str
    sentence: str


@dataclass(frozen=True, slots=True)
class DatabaseChecks:
    """The faults that were found.

    ``durability`` is None when PostgreSQL did not answer. ``tried`` tells whether a message was inserted, or would have
    been but for a node of the cluster that is away. ``nodes`` is empty for a single server.
    """

    faults: Sequence[DatabaseFault]
    durability: Durability | None
    tried: bool
    nodes: Sequence[NodeState] = ()

    def word(self, part: Part) -> str:
        """Return the word for ``part`` in `/readyz`: of its first fault, ``ok``, or ``unknown`` if unchecked."""
        checked = {Part.DATABASE: True, Part.SCHEMA: self.durability is not None, Part.WRITES: self.tried}[part]
        return next((fault.word for fault in self.faults if fault.part is part), "ok" if checked else "unknown")

    @property
    def feed_is_behind(self) -> bool:
        """Whether the feed's sequence is behind the record and must be set forward."""
        return _FEED_BEHIND in self.faults


_FULL: Final = DatabaseFault(
    Part.DATABASE,
    "disk-full",
    "The disk of the database's server is full: no message can be stored until the operator frees or adds space.",
)
_READ_ONLY: Final = DatabaseFault(
    Part.DATABASE,
    "read-only",
    "The database is a standby, or read-only, and accepts no writes; promote it, or name the primary in DATABASE_URL.",
)
UNAVAILABLE: Final = DatabaseFault(
    Part.DATABASE,
    "unavailable",
    "The database does not answer, or refuses the connection; check DATABASE_URL and the database's log.",
)
_POOLER: Final = DatabaseFault(Part.DATABASE, "pooler", UNNAMED_POOLER)
_DAMAGED: Final = DatabaseFault(
    Part.DATABASE,
    "damaged",
    "The database's files are damaged (SQLSTATE XX001 or XX002): rebuild the index with REINDEX, fail over to a "
    "standby, or restore a backup.",
)
_SLOW: Final = DatabaseFault(
    Part.DATABASE,
    "slow",
    "The database takes too long for a small statement, or a limit of the server refuses it; check its load, and "
    "pg_stat_activity for statements that wait.",
)
_LOCKED: Final = DatabaseFault(
    Part.WRITES,
    "locked",
    "Another program holds a lock on the tables for longer than a message may wait; pg_locks shows which.",
)
_FEED_BEHIND: Final = DatabaseFault(
    Part.WRITES,
    "feed-behind",
    "The sequence messages_feed_position_seq is behind the positions on record, for example after a restore: readers "
    "of the feed miss messages. `verbatim migrate` sets it forward, and so does a running service.",
)


_FAILURES: Final[Mapping[Callable[[BaseException], bool], DatabaseFault]] = {
    is_disk_full: _FULL,
    is_read_only: _READ_ONLY,
    suggests_unnamed_pooler: _POOLER,
    is_damage: _DAMAGED,
}


async def examine(database: Database, revision: str) -> DatabaseChecks:
    """Return the faults of ``database`` for a release that was written for the schema ``revision``."""
    faults: list[DatabaseFault] = []
    durability, tried = None, False
    nodes: Sequence[NodeState] = ()
    try:
        async with database.reading() as session:
            schema = SchemaDAO(session)
            state, durability, nodes = await schema.state(), await schema.durability(), await schema.nodes()
            # What is asked next needs every node; without one, the conversations of the others are recorded.
            whole = all(node.durability for node in nodes)
            faults += _of_state(state, revision)
            faults += await _of_rights(session)
            fit = not faults
            if fit and whole and not state.stamp.is_ahead_of(revision):  # a newer release may have replaced an index
                faults += await _of_schema(schema)
        faults += await _of_trial(database) if fit and whole else []
        tried = fit
    except RecordError as error:
        faults.append(_of_failure(error))
    except Exception as error:
        if (state_of := sqlstate(error)) is None:
            raise
        faults.append(_refused(state_of, [], []))
    return DatabaseChecks(faults, durability, tried, nodes)


def _of_state(state: DatabaseState, revision: str) -> list[DatabaseFault]:
    found = [fault for fault, holds in ((_FULL, state.disk_full), (_READ_ONLY, not state.writable)) if holds]
    if why := compatibility.mismatch(state.stamp, revision):
        found.append(DatabaseFault(Part.SCHEMA, "differs", why))
    return found


async def _of_rights(session: Session) -> list[DatabaseFault]:
    lacks = await missing_rights(session)
    if not lacks:
        return []
    sentence = f"The service's role lacks {', '.join(lacks)}; `verbatim adopt` prints the GRANTs for the owner to run."
    return [DatabaseFault(Part.WRITES, "not-permitted", sentence)]


async def _of_schema(schema: SchemaDAO) -> list[DatabaseFault]:
    missing = await schema.missing()
    found = [_incomplete(", ".join(missing))] if missing else []
    # Without the index this query would read every message.
    if _FEED_INDEX not in missing and await schema.feed_is_behind():
        found.append(_FEED_BEHIND)
    return found


async def _of_trial(database: Database) -> list[DatabaseFault]:
    refused = None
    try:
        async with database.rolled_back() as session:
            if await InsertCheckDAO(session).record():
                return []
    except RecordError:
        raise
    except Exception as error:
        if (refused := sqlstate(error)) is None:
            raise
    async with database.reading() as session:
        schema = SchemaDAO(session)
        return [_refused(refused, await schema.row_secured_tables(), await schema.triggers_of_the_host())]


def _refused(state: str | None, secured: Sequence[str], triggers: Sequence[str]) -> DatabaseFault:
    """Return the fault that makes PostgreSQL refuse a message with the SQLSTATE ``state``, or discard it (None)."""
    if secured and state in {None, _NO_RIGHT}:
        return DatabaseFault(
            Part.WRITES,
            "row-security",
            f"Row-level security on {', '.join(secured)} hides rows from the service's role, or refuses them: CREATE "
            "POLICY with USING (true) and WITH CHECK (true) for that role, or ALTER ROLE with BYPASSRLS.",
        )
    if state == _NO_RIGHT:
        sentence = "The service's role, or a trigger's function, lacks a right (SQLSTATE 42501) to record a message."
        return DatabaseFault(Part.WRITES, "not-permitted", f"{sentence} `verbatim adopt` prints the GRANTs.")
    if state is not None and state.startswith(_UNKNOWN_NAME):
        return _incomplete(f"a table, column or function that a statement names (SQLSTATE {state})")
    how = "discards messages" if state is None else f"refuses messages with SQLSTATE {state}"
    where = f"the triggers {', '.join(triggers)}" if triggers else "its rules and constraints"
    return DatabaseFault(
        Part.WRITES,
        "host-rule",
        f"A rule in the database that is not Verbatim's {how}: check {where}, and repair or drop the rule.",
    )


def _incomplete(what: str) -> DatabaseFault:
    return DatabaseFault(Part.SCHEMA, "incomplete", f"The schema lacks {what}; `verbatim adopt` creates it.")


def _of_failure(error: RecordError) -> DatabaseFault:
    if isinstance(error, Busy):
        return _LOCKED
    why = error.__cause__ or error
    if suggests_outdated_schema(why):
        return _incomplete(f"something that a statement names (SQLSTATE {sqlstate(why)})")
    for recognises, fault in _FAILURES.items():
        if recognises(why):
            return fault
    return _SLOW if isinstance(error, TooSlow | Unreadable) else UNAVAILABLE
