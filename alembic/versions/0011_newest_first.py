"""The index that lists conversations by age."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # An interrupted CONCURRENTLY leaves an invalid index, which IF NOT EXISTS would take for the real one.
        op.execute("""
            DO $$
            BEGIN
                IF EXISTS (
                    SELECT FROM pg_index WHERE indexrelid = to_regclass('idx_conversations_newest') AND NOT indisvalid
                ) THEN
                    DROP INDEX idx_conversations_newest;
                END IF;
            END $$
        """)
        op.execute("SET lock_timeout = '1min'")  # it waits for old transactions, and nobody waits for it
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_conversations_newest ON conversations (created_at, id)")
        op.execute("SET lock_timeout = '200ms'")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS idx_conversations_newest")
