"""The plan of an adoption: a sentence for each step, warning and blocker, from the host's tables and requirements."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from backend.migrations.adoption.introspection import HostConstraint, HostTable
from backend.migrations.adoption.requirements import (
    CONTEXT_RULE,
    CONVERSATION_COLUMNS,
    CONVERSATION_TRIGGERS,
    INDEXES,
    MESSAGE_COLUMNS,
    OWN_TABLES,
    RULES,
    TRIGGERS,
)
from backend.vocabulary import ContextType

_BIG: Final = 1_000_000  # rows; the operator is warned that reading such a table takes long


@dataclass(slots=True)
class Plan:
    """The sentences of the survey, which the functions below extend."""

    steps: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    blockers: list[str] = field(default_factory=list)


def plan_own_tables(present: Mapping[str, bool], found: Plan) -> None:
    """Add a step for each table of Verbatim's that is missing; ``present``: existing ones, and whether we made them."""
    for name in OWN_TABLES:
        if name not in present:
            found.steps.append(f"There is no table {name}: it will be created, empty.")
        elif not present[name]:
            found.blockers.append(f"There is a table {name} that Verbatim did not create; rename it first.")


def plan_conversations(conversations: HostTable, lists: Collection[HostConstraint], found: Plan) -> None:
    """Add what `conversations` lacks; ``lists`` are the host's CHECK constraints that list context types."""
    _plan_columns(conversations, found)
    _plan_indexes(conversations, found)
    _plan_links(conversations, found)
    for name, effect in CONVERSATION_TRIGGERS.items():
        if name not in conversations.triggers:
            found.steps.append(f"conversations has no trigger {name}: it will be created; {effect}.")
    if conversations.column("context_type"):
        _plan_context_type(conversations, lists, found)


def plan_messages(messages: HostTable, found: Plan) -> None:
    """Add what `messages` lacks: columns, triggers, indexes and constraints."""
    found.steps += [
        f"messages lacks {name}: it will be added without a default, which rewrites nothing."
        for name in MESSAGE_COLUMNS
        if not messages.column(name)
    ]
    for name, effect in TRIGGERS.items():
        if name not in messages.triggers:
            found.steps.append(f"messages has no trigger {name}: it will be created; {effect}.")
    if not all((column := messages.column(name)) and column.required for name in ("sequence", "timestamp")):
        if messages.rows:
            found.steps.append(
                f"The existing messages ({messages.about}) will be numbered by created_at, "
                "one conversation at a time, while writers go on."
            )
        found.steps.append("messages.sequence and timestamp will become NOT NULL; no lock is held to read the rows.")
    _plan_indexes(messages, found)
    for name in (*RULES, "messages_sequence_check"):
        rule = messages.constraint(name)
        if rule is None or not rule.valid:
            found.steps.append(
                f"messages lacks the constraint {name}: it will be added, then validated while writers go on."
            )


def numbering_warnings(conversations: HostTable, messages: HostTable, role: str) -> Iterator[str]:
    """Yield a warning for each trigger that runs while old messages are numbered, if the role cannot disable it."""
    sequence = messages.column("sequence")
    if messages.rows and not (sequence and sequence.required):
        for trigger in conversations.update_triggers:
            yield (
                f"The trigger {trigger} on conversations runs once for each conversation that has old messages. Its "
                "changes of the row are undone, its other effects are not; to skip it, have a superuser run "
                f"GRANT SET ON PARAMETER session_replication_role TO {role}."
            )


def table_warnings(table: HostTable) -> Iterator[str]:
    """Yield a warning for each property of ``table`` that blocks nothing, but that the operator should know."""
    if table.rows >= _BIG:
        yield f"{table.name} has about {table.rows:,} rows: reading them takes long, while writers go on."
    for index in table.indexes:
        if not index.valid and index.name not in INDEXES.get(table.name, ()):
            yield f"The index {index.name} on {table.name} is invalid; it belongs to the host, and stays as it is."
    if table.secured:
        yield (
            f"Row-level security is on for {table.name}: a role that is not the table's owner sees only the rows "
            f"that a policy allows; CREATE POLICY verbatim ON {table.name} TO that role USING (true) WITH CHECK (true)."
        )
    if table.name == "conversations":
        yield from _conversation_warnings(table)


def _conversation_warnings(table: HostTable) -> Iterator[str]:
    for trigger in table.update_triggers:
        yield f"The trigger {trigger} on conversations will also run whenever a message is recorded."
    for key in table.indexes:
        excluded = key.predicate is not None and "context_type" in key.predicate and "'voice'" not in key.predicate
        if key.unique and key.columns and {*key.columns} <= {"user_id", "context_type"} and not excluded:
            yield (
                f"The unique key {key.name} allows one conversation for each {' and '.join(key.columns)}, so POST "
                "/conversations refuses the second; drop it, or make it partial: WHERE context_type <> 'voice'."
            )
    for rule in table.constraints:
        if rule.kind == "f" and rule.columns == ("user_id",):
            yield f"{rule.name}: a person can have conversations only if {rule.definition} holds for their subject."


def _plan_columns(conversations: HostTable, found: Plan) -> None:
    found.steps += [
        f"conversations lacks {name}: it will be added without a default, which rewrites nothing."
        for name in (*CONVERSATION_COLUMNS, "user_id")
        if not conversations.column(name)
    ]
    if not conversations.column("last_sequence"):
        found.steps.append(
            "conversations lacks last_sequence: it will be added with a constant default, which rewrites nothing."
        )
    filled = {"id", "context_type", "user_id"}
    owner = conversations.column("user_id")
    if owner and owner.type != "text" and not owner.type.startswith("character varying"):
        found.warnings.append(
            f"conversations.user_id is of type {owner.type}: the subjects of tokens must be values of that type."
        )
    found.warnings += [
        f"conversations.{column.name} is NOT NULL and has no default, so POST /conversations cannot insert rows; "
        "give it a default, or let only the host create conversations."
        for column in conversations.columns
        if column.required and not column.has_default and column.name not in filled
    ]


def _plan_links(conversations: HostTable, found: Plan) -> None:
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
            found.steps.append(f"The foreign key {key.name} will be renamed to {name}, which takes no time.")
        if not key.valid:
            found.steps.append(f"{key.name} is not validated: its rows will be read while writers go on.")
        if " ON " in key.definition:
            found.warnings.append(f"{key.name} has an action of its own ({key.definition}); it stays.")


def _plan_context_type(conversations: HostTable, lists: Collection[HostConstraint], found: Plan) -> None:
    allowed = {word.value for word in ContextType}
    for rule in conversations.constraints:
        if rule.kind != "c" or "context_type" not in rule.columns:
            continue
        if rule.columns != ("context_type",):
            found.warnings.append(
                f"{rule.name} restricts context_type together with other columns; make sure that it allows voice."
            )
        elif rule.name == CONTEXT_RULE and rule not in lists:
            found.steps.append(
                f"{rule.name} is not a list of words: it will be renamed to {rule.name}_of_host, which takes no time."
            )
    if [(rule.name, rule.valid, rule.words) for rule in lists] != [(CONTEXT_RULE, True, allowed)]:
        names = ", ".join(rule.name for rule in lists) or "nothing"
        found.steps.append(
            f"context_type is restricted by {names}: {CONTEXT_RULE} will replace that and allow voice; it takes a "
            "brief lock, then old rows are read while writers go on."
        )
    known = set().union(*(rule.words for rule in lists))
    lost = sorted(word for word in known - allowed if word.isidentifier())  # regular expressions are left out
    if lost:
        found.warnings.append(
            f"The host's constraint also allows the context types {', '.join(lost)}; they will be refused."
        )


def _plan_indexes(table: HostTable, found: Plan) -> None:
    valid = {index.name: index.valid for index in table.indexes}
    for name in INDEXES[table.name]:
        if name not in valid:
            found.steps.append(f"{table.name} has no index {name}: it will be built concurrently, while writers go on.")
        elif not valid[name]:
            found.steps.append(f"The index {name} is invalid: it will be dropped and built again, concurrently.")
