"""The index that lists one owner's conversations by age. The host's `user_id` may be of any type; as text it is one."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # An interrupted CONCURRENTLY leaves an invalid index, which IF NOT EXISTS would take for the real one.
        op.execute("""
            DO $$
            BEGIN
                IF EXISTS (
                    SELECT FROM pg_index WHERE indexrelid = to_regclass('idx_conversations_owner') AND NOT indisvalid
                ) THEN
                    DROP INDEX idx_conversations_owner;
                END IF;
            END $$
        """)
        op.execute("SET lock_timeout = '1min'")  # it waits for old transactions, and nobody waits for it
        op.execute("""
            CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_conversations_owner
            ON conversations ((user_id::text), created_at, id)
        """)
        op.execute("SET lock_timeout = '200ms'")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS idx_conversations_owner")
