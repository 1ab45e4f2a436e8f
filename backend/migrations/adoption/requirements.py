"""Verbatim's requirements of a host's database, and the blockers: differences that no added column can repair."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from backend.migrations.adoption.introspection import HostTable
from verbatim_record.vocabulary import InputModality, Role

_OLDEST_SERVER: Final = 15

_TEXT: Final = "text"
_UUID: Final = "uuid"
_TIME: Final = "timestamp with time zone"
CONVERSATION_COLUMNS: Final = {
    "voice_session_id": _TEXT,
    "extracted_intent": _TEXT,
    "intent_payload": "jsonb",
    "linked_goal_id": _UUID,
    "linked_task_id": _UUID,
    "ended_at": _TIME,
    "duration_seconds": "integer",
}
_HOST: Final = {"id": _UUID, "context_type": _TEXT, "created_at": _TIME, "updated_at": _TIME}
SEED_COLUMNS: Final = {
    "id": _UUID,
    "conversation_id": _UUID,
    "role": _TEXT,
    "content": _TEXT,
    "input_modality": _TEXT,
    "metadata": "jsonb",
    "created_at": _TIME,
}
MESSAGE_COLUMNS: Final = {
    "sequence": "bigint",
    "timestamp": _TIME,
    "voice_session_id": _TEXT,
    "client_sequence": "integer",
    "feed_position": "bigint",
}
_SHAPES: Final[
    Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]
] = {  # required columns, and columns that are added if missing
    "conversations": (_HOST, {"last_sequence": "bigint", **CONVERSATION_COLUMNS}),
    "messages": (SEED_COLUMNS, MESSAGE_COLUMNS),
    "goals": ({"id": _UUID}, {}),
    "tasks": ({"id": _UUID}, {}),
}
INDEXES: Final = {
    "conversations": (
        "idx_conversations_ended",
        "idx_conversations_goal",
        "idx_conversations_intent",
        "idx_conversations_newest",
        "idx_conversations_open",
        "idx_conversations_owner",
        "idx_conversations_task",
        "idx_conversations_voice_session",
    ),
    "messages": (
        "idx_messages_conversation",
        "messages_conversation_id_sequence_key",
        "idx_messages_spoken",
        "idx_messages_time",
        "idx_messages_session",
        "idx_messages_feed",
        "idx_messages_before_feed",
    ),
}
OWN_TABLES: Final = (
    "service_tokens",
    "erasures",
    "voice_sessions",
    "voice_events",
    "voice_session_ids",
    "deliveries",
    "stopped_orchestrators",
    "message_words",
    "message_words_b",
    "search_progress",
    "conversation_holds",
    "audit_entries",
)
TRIGGERS: Final = {
    "verbatim_take_place": "it gives each new row its sequence",
    "verbatim_advance_counter": "it counts each new row in its conversation",
    "verbatim_enter_feed": "it keeps readers of the feed from missing a row",
    "verbatim_take_position": "it gives each new row its position in the feed",
}
CONVERSATION_TRIGGERS: Final = {
    "verbatim_forget_intents": "it removes the deliveries of the intents of deleted rows",
    "verbatim_keep_held": "it refuses to delete a row on hold",
}
RULES: Final = {
    "messages_content_size_check": ("content is longer than 1 MiB", "octet_length(content) > 1048576"),
    "messages_metadata_object_check": ("metadata is no JSON object", "jsonb_typeof(metadata) <> 'object'"),
    "messages_metadata_size_check": ("metadata is longer than 65,536 bytes", "octet_length(metadata::text) > 65536"),
    "messages_metadata_readable_check": (
        "metadata is nested deeper than 32 or holds a number beyond 1e308",
        """jsonb_path_exists(metadata, '$.**{33 to last}')
        OR jsonb_path_exists(metadata, '$.** ? (@.type() == "number" && (@ > 1e308 || @ < -1e308))')""",
    ),
    "messages_readable_times_check": (
        "created_at lies outside the years 1 to 9999",
        "created_at < '0001-01-02 00:00:00+00' OR created_at >= '9999-12-31 00:00:00+00'",
    ),
}
CONTEXT_RULE: Final = "conversations_context_type_check"


def server_blockers(server: Any) -> Iterator[str]:
    """Yield a blocker for each property of the server or the role that prevents every migration."""
    if server.major < _OLDEST_SERVER:
        yield f"The server is PostgreSQL {server.version}; {_OLDEST_SERVER} is the oldest that Verbatim works with."
    if server.standby:
        yield "The server is a standby and takes no changes; name the primary in DATABASE_URL."
    if server.schema is None:
        yield "No schema of the search_path exists; set the role's search_path to the one that holds the tables."
    elif not server.may_create:
        yield f"The user {server.role} may not create tables in schema {server.schema}; grant it CREATE there."


def shape_blockers(table: HostTable, *, sees_all: bool) -> Iterator[str]:
    """Yield a blocker for each difference that no added column can repair; ``sees_all``: the role has BYPASSRLS."""
    if table.forced and not sees_all:
        yield (
            f"Row-level security is forced on {table.name}, so its owner does not see all rows: run ALTER TABLE "
            f"{table.name} NO FORCE ROW LEVEL SECURITY, or adopt as a role with BYPASSRLS."
        )
    if not table.ordinary:
        yield f"{table.name} is not an ordinary table, and triggers, keys and concurrent indexes need one."
    if not table.open:
        yield f"{table.name} belongs to another user; adopt as that user, or for goals and tasks grant REFERENCES."
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
    if table.name == "messages":
        yield from _seed_blockers(table)


def _seed_blockers(messages: HostTable) -> Iterator[str]:
    """Yield a blocker for each difference of an existing table `messages` from the seed's, other than types."""
    if not any(
        c.kind == "f" and c.columns == ("conversation_id",) and c.definition.endswith("ON DELETE CASCADE")
        for c in messages.constraints
    ):
        yield "messages.conversation_id does not refer to conversations(id) ON DELETE CASCADE."
    for column, words in (("role", Role), ("input_modality", InputModality)):
        rule = messages.constraint(f"messages_{column}_check")
        if rule is None or rule.words != set(words):
            yield f"messages has no constraint messages_{column}_check that allows exactly {', '.join(words)}."
