"""The index that finds what a voice session has sent, and what comes next in its count."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # An interrupted CONCURRENTLY leaves an invalid index, which IF NOT EXISTS would take for the real one.
        op.execute("""
            DO $$
            BEGIN
                IF EXISTS (
                    SELECT FROM pg_index WHERE indexrelid = to_regclass('idx_messages_voice_session') AND NOT indisvalid
                ) THEN
                    DROP INDEX idx_messages_voice_session;
                END IF;
            END $$
        """)
        op.execute("SET lock_timeout = '1min'")  # it waits for old transactions, and nobody waits for it
        op.execute("""
            CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_messages_voice_session
            ON messages (voice_session_id, client_sequence) WHERE voice_session_id IS NOT NULL
        """)
        op.execute("SET lock_timeout = '200ms'")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS idx_messages_voice_session")
