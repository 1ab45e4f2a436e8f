"""The indexes that read the feed: by position, and, for the messages that have none, conversation by conversation."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

INDEXES = {
    "idx_messages_feed": "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS {} ON messages (feed_position)",
    "idx_messages_before_feed": """
        CREATE INDEX CONCURRENTLY IF NOT EXISTS {} ON messages (conversation_id, sequence) WHERE feed_position IS NULL
    """,
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, create in INDEXES.items():
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
            op.execute("SET lock_timeout = '1min'")  # it waits for old transactions, and nobody waits for it
            op.execute(create.format(name))
            op.execute("SET lock_timeout = '200ms'")


def downgrade() -> None:
    for name in INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
