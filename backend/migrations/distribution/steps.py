"""The steps of `verbatim distribute`. Each may be done twice, so a run that was cut off is begun anew.

The steps before the move change nothing for a running service: they build what the move needs. The move itself is one
transaction, so that a service sees the tables either all on one node or all spread; writers wait meanwhile. The steps
after it take away what the coordinator no longer needs, and are done again when nodes have come or gone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from backend.migrations.distribution import functions
from backend.migrations.distribution.catalogue import OF_ONE_SERVER, REFERENCES, Catalogue

# Columns of the primary keys on a cluster. Citus finds a duplicate only on one node, so each begins with what places
# the row there.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "messages": ("conversation_id", "id"),
    "voice_sessions": ("conversation_id", "id"),
    "voice_events": ("conversation_id", "voice_session_id", "id"),
}
_FEED: Final = "idx_messages_feed_of_nodes"
# They take the place of the keys and of the index of the feed in the move: without those the service would be slow.
_INDEXES: Final[Mapping[str, str]] = {
    **{f"{table}_by_conversation": f"{table} ({', '.join(columns)})" for table, columns in KEYS.items()},
    _FEED: "messages (feed_position)",
}
# The foreign keys that the move drops, and those that it makes anew between tables of one conversation.
_TIES: Final[Mapping[str, tuple[str, ...]]] = {
    "conversations": ("conversations_linked_goal_id_fkey", "conversations_linked_task_id_fkey"),
    "messages": ("messages_conversation_id_fkey",),
    "voice_sessions": ("voice_sessions_conversation_id_fkey",),
    "voice_events": ("voice_events_voice_session_id_fkey",),
    "voice_session_ids": ("voice_session_ids_conversation_id_fkey",),
    "message_words": ("message_words_message_id_fkey",),
    "message_words_b": ("message_words_b_message_id_fkey",),
}
_OF_CONVERSATION: Final = "(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE"
_RETIED: Final = (
    ("messages", "messages_conversation_id_fkey", _OF_CONVERSATION),
    ("voice_sessions", "voice_sessions_conversation_id_fkey", _OF_CONVERSATION),
    (
        "voice_events",
        "voice_events_voice_session_id_fkey",
        "(conversation_id, voice_session_id) REFERENCES voice_sessions (conversation_id, id) ON DELETE CASCADE",
    ),
    ("conversations", "conversations_linked_goal_id_fkey", "(linked_goal_id) REFERENCES goals (id)"),
    ("conversations", "conversations_linked_task_id_fkey", "(linked_task_id) REFERENCES tasks (id)"),
)
_WORDS: Final = ("message_words", "message_words_b")
_NEAR: Final = ("messages", "voice_sessions", "voice_events", "erasures", "feed_shards")


@dataclass(frozen=True, slots=True)
class Step:
    """A step: what it does, and its statements. If it ``is_atomic``, they are one transaction, and writers wait."""

    title: str
    statements: tuple[str, ...]
    is_atomic: bool = False


def plan(found: Catalogue, shards: int) -> Iterator[Step]:
    """Yield the steps that are left to do, into ``shards`` parts."""
    if not found.is_distributed:
        yield Step("Replace the functions by those of a cluster", tuple(_functions(found.schema)))
        for name, definition in _INDEXES.items():
            yield Step(f"Build the index {name} while writers go on", tuple(_index(name, definition)))
        yield Step(
            "Copy the conversations and all that belongs to them to the nodes", tuple(_move(shards)), is_atomic=True
        )
    elif late := tuple(_late(found)):
        yield Step("Place what a later release has added", late)
    yield Step("Let each node run the functions", tuple(_distributed_functions()))
    yield Step("Have a row in each part, by which the feed asks each node", (functions.MARK_SHARDS,))
    yield Step("Keep how far the feed had come on nodes without conversations", (functions.FREEZE,))
    yield Step("Let the feed read every node", (functions.FEED_ENDS,))
    yield Step("Free the coordinator's copies", tuple(_truncate()))


def _functions(schema: str) -> Iterator[str]:
    yield functions.APPEND
    yield functions.ENTER_FEED.replace("{schema}", schema)
    yield functions.ADVANCE_COUNTER.replace("{schema}", schema)


def _index(name: str, definition: str) -> Iterator[str]:
    yield f"DROP INDEX IF EXISTS {name}"  # an interrupted run may leave an invalid one
    kind = "INDEX" if name == _FEED else "UNIQUE INDEX"
    yield f"CREATE {kind} CONCURRENTLY {name} ON {definition}"


def _move(shards: int) -> Iterator[str]:
    yield "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"
    for trigger, table in OF_ONE_SERVER.items():
        yield f"DROP TRIGGER IF EXISTS {trigger} ON {table}"
    for table, names in _TIES.items():
        for name in names:
            yield f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"
    for table in KEYS:
        yield f"""
            ALTER TABLE {table} DROP CONSTRAINT {table}_pkey,
            ADD CONSTRAINT {table}_pkey PRIMARY KEY USING INDEX {table}_by_conversation
        """
    yield "DROP INDEX idx_messages_feed"
    yield f"ALTER INDEX {_FEED} RENAME TO idx_messages_feed"
    yield f"TRUNCATE {', '.join(_WORDS)}"  # search does not run on a cluster
    for table in (*REFERENCES, *_WORDS, "search_progress"):
        yield f"SELECT create_reference_table('{table}')"
    yield "CREATE TABLE IF NOT EXISTS feed_shards (conversation_id UUID PRIMARY KEY)"
    yield "CREATE TABLE IF NOT EXISTS feed_servers_left (server INT PRIMARY KEY, reached BIGINT NOT NULL)"
    yield "GRANT SELECT ON feed_shards, feed_servers_left TO PUBLIC"
    yield "SELECT create_reference_table('feed_servers_left')"
    for table in ("conversations", "voice_session_ids"):
        yield f"SELECT create_distributed_table('{table}', 'id', colocate_with := 'none', shard_count := {shards})"
    for table in _NEAR:
        yield f"SELECT create_distributed_table('{table}', 'conversation_id', colocate_with := 'conversations')"
    yield "SELECT create_distributed_table('deliveries', NULL, colocate_with := 'none')"
    yield "SELECT create_distributed_table('stopped_orchestrators', NULL, colocate_with := 'deliveries')"
    for table, name, what in _RETIED:
        yield f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY {what}"


def _late(found: Catalogue) -> Iterator[str]:
    """Yield what the move would have done if a migration had not come after it."""
    for trigger in found.of_one_server:
        yield f"DROP TRIGGER IF EXISTS {trigger} ON {OF_ONE_SERVER[trigger]}"
    for table in REFERENCES:
        if found.kinds.get(table) != "reference":
            yield f"SELECT create_reference_table('{table}')"


def _distributed_functions() -> Iterator[str]:
    yield f"SELECT create_distributed_function('{functions.SIGNATURE}', 'near', colocate_with := 'conversations')"
    yield "SELECT create_distributed_function('verbatim_feed_end()')"
    yield "SELECT create_distributed_function('verbatim_feed_ends()')"


def _truncate() -> Iterator[str]:
    for table in ("conversations", *_NEAR, "voice_session_ids", "deliveries", "stopped_orchestrators"):
        yield f"SELECT truncate_local_data_after_distributing_table('{table}')"
