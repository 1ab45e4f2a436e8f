"""What the ids of a voice session's events derive from, and the index that tells whether older releases still run.

NULL is a session that a process of an older release began; `backend/services/voice_events.py` says what follows.
"""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE voice_sessions ADD COLUMN IF NOT EXISTS salt UUID")
    with op.get_context().autocommit_block():
        # An interrupted CONCURRENTLY leaves an invalid index, which IF NOT EXISTS would take for the real one.
        op.execute("""
            DO $$
            BEGIN
                IF EXISTS (
                    SELECT FROM pg_index
                    WHERE indexrelid = to_regclass('idx_voice_sessions_unsalted') AND NOT indisvalid
                ) THEN
                    DROP INDEX idx_voice_sessions_unsalted;
                END IF;
            END $$
        """)
        op.execute("SET lock_timeout = '1min'")  # it waits for old transactions, and no transaction waits for it
        op.execute("""
            CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_voice_sessions_unsalted
            ON voice_sessions (started_at) WHERE salt IS NULL
        """)
        op.execute("SET lock_timeout = '200ms'")


def downgrade() -> None:
    # An older release derives without salts: if a session is under way, an event that is sent again is stored twice.
    op.execute("DROP INDEX IF EXISTS idx_voice_sessions_unsalted")
    op.execute("ALTER TABLE voice_sessions DROP COLUMN IF EXISTS salt")
