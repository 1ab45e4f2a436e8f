"""The indexes for the filters of the list of conversations, each in the order of the list, and for our foreign keys.

Without them PostgreSQL looks for a rare value in every conversation, and reads all of them when a goal is deleted.
They are partial, because most conversations have no intent and no link.
"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_conversations_voice_session": "(voice_session_id, created_at, id) WHERE voice_session_id IS NOT NULL",
    "idx_conversations_intent": "(extracted_intent, created_at, id) WHERE extracted_intent IS NOT NULL",
    "idx_conversations_goal": "(linked_goal_id, created_at, id) WHERE linked_goal_id IS NOT NULL",
    "idx_conversations_task": "(linked_task_id, created_at, id) WHERE linked_task_id IS NOT NULL",
    "idx_conversations_ended": "(created_at, id) WHERE ended_at IS NOT NULL",
    "idx_conversations_open": "(created_at, id) WHERE ended_at IS NULL",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, definition in INDEXES.items():
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
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON conversations {definition}")
            op.execute("SET lock_timeout = '200ms'")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
