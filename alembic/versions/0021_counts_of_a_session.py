"""The indexes that find what a voice session has sent, whatever else bears its name.

A message may name any session, so an index that begins with the session's id leads through the messages of strangers
who name it, too. This one begins with the conversation, which only its owner writes to. It ends with the sequence, for
the messages that have no number of the sender's count.

Events that are no messages get two: one by the sender's count, and one for the few types that say something of a turn.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

OLD = {
    "idx_messages_voice_session": """
        CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON messages (voice_session_id, client_sequence)
        WHERE voice_session_id IS NOT NULL
    """,
}
NEW = {
    "idx_messages_session": """
        CREATE INDEX CONCURRENTLY IF NOT EXISTS {}
        ON messages (conversation_id, voice_session_id, client_sequence, sequence) WHERE voice_session_id IS NOT NULL
    """,
    "idx_voice_events_count": """
        CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON voice_events (voice_session_id, client_sequence)
    """,
    "idx_voice_events_turns": """
        CREATE INDEX CONCURRENTLY IF NOT EXISTS {}
        ON voice_events (voice_session_id, client_sequence, after_sequence, number) WHERE type IN (
            'Welcome', 'UserStartedSpeaking', 'AgentStartedSpeaking', 'AgentAudioDone', 'LatencyReport'
        )
    """,
}


def upgrade() -> None:
    _replace(OLD, NEW)


def downgrade() -> None:
    _replace(NEW, OLD)


def _replace(old: dict[str, str], new: dict[str, str]) -> None:
    with op.get_context().autocommit_block():
        for name, create in new.items():
            # An interrupted CONCURRENTLY leaves an invalid index, which IF NOT EXISTS would take for the real one.
            op.execute(f"""
                DO $$
                BEGIN
                    IF EXISTS (
                        SELECT FROM pg_index WHERE indexrelid = to_regclass('{name}') AND NOT indisvalid
                    ) THEN
                        DROP INDEX {name};
                    END IF;
                END $$
            """)
            op.execute("SET lock_timeout = '1min'")  # it waits for old transactions, and blocks no writer
            op.execute(create.format(name))
            op.execute("SET lock_timeout = '200ms'")
        for name in old:
            op.execute(f"DROP INDEX IF EXISTS {name}")
